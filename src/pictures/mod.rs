//! Profile pictures.
//!
//! 1. An upload is read with bounds (`upload`) and decoded, cut, scaled and encoded anew (`convert`) on threads of
//!    its own (`converter`). Only pixels are kept: no metadata and nothing that was hidden in the file.
//! 2. The files are stored first, and then the account refers to them by their hash; each upload has a hash of its own.
//!    So a reader never finds half a picture, and deleting an old one cannot hit a new one with the same content.
//! 3. Files that no account refers to are deleted by a job (`jobs`), and a daily sweep finds those that a failure left
//!    behind.

mod convert;
mod converter;
mod delete_mine;
mod delete_of_user;
mod jobs;
mod put_mine;
mod read;
mod references;
mod store;
mod upload;

use std::sync::Arc;

use actix_web::web::Data;
use utoipa_actix_web::service_config::ServiceConfig;

pub use self::{
    converter::Converter,
    jobs::{DeletePicture, SweepPictures},
};

use crate::{clock::Clock, db::Db, limits::Limits, storage::Storage};

/// The services that handlers take as `Data<Pictures>`.
pub struct Pictures {
    pub db: Db,
    pub clock: Data<Clock>,
    pub limits: Data<Limits>,
    pub storage: Arc<Storage>,
    pub converter: Converter,
}

pub fn routes(config: &mut ServiceConfig) {
    config
        .service(put_mine::put_my_avatar)
        .service(delete_mine::delete_my_avatar)
        .service(read::read_avatar)
        .service(delete_of_user::delete_avatar);
}

/// Where the files of all pictures are. Those of a picture are in `pictures/<2 digits>/<hash>/`, so that a sweep can
/// list them part by part.
const DIRECTORY: &str = "pictures";

/// The key of a file in the object storage.
fn key(hash: &str, size: u32) -> String {
    format!("{DIRECTORY}/{}/{hash}/{size}.webp", hash.get(..2).unwrap_or_default())
}
