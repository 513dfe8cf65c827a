//! Lets people in and out: registration, log-in, refresh, log-out and sessions; and by mail: confirmation, recovery,
//! changes of the password and the address, notices.

mod accept_invitation;
mod admin;
mod admission;
mod api_keys;
mod breaches;
mod caller;
pub mod challenges;
mod change_email;
mod change_password;
mod confirm;
mod confirm_email_change;
mod confirm_password_change;
mod current_password;
mod delete_me;
mod end_mailed_session;
mod end_session;
mod ended;
mod export;
mod forgot_password;
mod list_sessions;
mod list_user_sessions;
mod login;
mod login_alert;
mod logout;
mod mails;
mod new_password;
mod oauth;
mod proof;
mod read_registration;
mod refresh;
mod register;
mod resend_confirmation;
mod reset_password;
mod restore_account;
mod services;
mod store;
mod token_pair;
mod undo_email_change;
mod unlock_login;

use chrono::{DateTime, Utc};
use diesel::PgConnection;
use utoipa_actix_web::service_config::ServiceConfig;

pub use self::{
    admin::import,
    breaches::Breaches,
    ended::Ended,
    mails::{MailContext, jobs},
    oauth::routes as oauth,
    services::Auth,
    store::prune,
};
use crate::{
    http::Problem,
    limits::{Limits, RateLimit},
    users::EmailAddress,
};

/// Spends a mail of this kind to this address, or answers `too-many-requests`.
fn spend_mail(
    conn: &mut PgConnection,
    limits: &Limits,
    kind: RateLimit,
    email: &EmailAddress,
    now: DateTime<Utc>,
) -> Result<(), Problem> {
    limits.budgets.spend(conn, kind, email.canonical(), now)?;
    limits.budgets.spend(conn, limits.rates.mails.all, email.canonical(), now)?;
    Ok(())
}

/// Like [`spend_mail`], but returns false if the budget is used up: for mails that accompany a change, which is made
/// with or without the mail.
fn may_mail(
    conn: &mut PgConnection,
    limits: &Limits,
    kind: RateLimit,
    email: &EmailAddress,
    now: DateTime<Utc>,
) -> Result<bool, Problem> {
    match spend_mail(conn, limits, kind, email, now) {
        Ok(()) => Ok(true),
        Err(problem) if problem.kind().status == 429 => Ok(false),
        Err(problem) => Err(problem),
    }
}

pub fn routes(config: &mut ServiceConfig) {
    config
        .configure(admin::routes)
        .configure(api_keys::routes)
        .service(read_registration::read_registration)
        .service(register::register)
        .service(login::login)
        .service(refresh::refresh)
        .service(logout::logout)
        .service(list_sessions::list_sessions)
        .service(list_user_sessions::list_user_sessions)
        .service(end_session::end_session)
        .service(end_mailed_session::end_mailed_session)
        .service(confirm::confirm)
        .service(resend_confirmation::resend_confirmation)
        .service(forgot_password::forgot_password)
        .service(reset_password::reset_password)
        .service(accept_invitation::accept_invitation)
        .service(change_password::change_password)
        .service(confirm_password_change::confirm_password_change)
        .service(change_email::change_email)
        .service(confirm_email_change::confirm_email_change)
        .service(undo_email_change::undo_email_change)
        .service(unlock_login::unlock_login)
        .service(delete_me::delete_me)
        .service(export::export_me)
        .service(restore_account::restore_account);
}
