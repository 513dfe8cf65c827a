//! What admins do to accounts of others: invite, import, change, delete, restore, end sessions, send mails.

mod change;
mod delete;
mod end_sessions;
pub mod import;
mod invite;
mod restore;
mod send_confirmation;
mod start_password_reset;

use actix_web::web;
use utoipa_actix_web::service_config::ServiceConfig;

use crate::http::fallback;

pub fn routes(config: &mut ServiceConfig) {
    config
        .service(import::import_users)
        // Other methods are refused here, because the path also matches `/users/{id}`.
        .route("/users/import", web::route().to(fallback))
        .service(invite::invite_user)
        .service(change::change_user)
        .service(delete::delete_user)
        .service(restore::restore_user)
        .service(end_sessions::end_user_sessions)
        .service(send_confirmation::send_confirmation)
        .service(start_password_reset::start_password_reset);
}
