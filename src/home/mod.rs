//! What a person or a monitor sees first: the start page, the version of the program, the icon.

mod favicon;
mod site;
mod start;
mod version;

use utoipa_actix_web::service_config::ServiceConfig;

pub use self::{
    site::Site,
    version::{COMMIT, VERSION},
};

pub fn routes(config: &mut ServiceConfig) {
    config.service(start::start_page).service(version::version).service(favicon::favicon);
}
