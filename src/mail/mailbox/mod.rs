//! Shows the mails of this server on a page, so that links and codes can be tried without a mail server. Only in
//! development, without a public address, and only to the computer that the server runs on: the mails contain links that
//! log people in.

mod local;
mod pages;
mod store;

use std::sync::Arc;

use actix_web::{
    middleware::from_fn,
    web::{self, Data, ServiceConfig},
};

pub(super) use self::store::SentMail;
pub use self::store::SentMails;

/// Adds the pages. They are no part of the API, and so not of the OpenAPI document.
pub fn routes(config: &mut ServiceConfig, mailbox: Arc<SentMails>) {
    let pages = web::scope("/dev/mails")
        .app_data(Data::from(mailbox))
        .wrap(from_fn(local::only_local))
        .route("", web::get().to(pages::list))
        .route("/{id}", web::get().to(pages::mail))
        .route("/{id}/html", web::get().to(pages::html_part));
    config.service(pages);
}
