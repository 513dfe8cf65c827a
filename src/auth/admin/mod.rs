//! What admins do to accounts of others: invite, import, change, delete, restore, end sessions, send mails.

mod change;
mod delete;
mod end_sessions;
pub mod import;
mod invite;
mod restore;
mod send_confirmation;
mod start_password_reset;

use utoipa_actix_web::service_config::ServiceConfig;

pub fn routes(config: &mut ServiceConfig) {
    config
        .service(import::import_users)
        .service(invite::invite_user)
        .service(change::change_user)
        .service(delete::delete_user)
        .service(restore::restore_user)
        .service(end_sessions::end_user_sessions)
        .service(send_confirmation::send_confirmation)
        .service(start_password_reset::start_password_reset);
}
