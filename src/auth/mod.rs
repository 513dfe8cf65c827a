//! How people get in and out: register, log in, refresh, log out, their sessions; and what goes
//! through their mailbox: confirm, recover, change the password or the address, notices.

mod change_email;
mod change_password;
mod confirm;
mod confirm_email_change;
mod confirm_password_change;
mod delete_me;
mod end_session;
mod forgot_password;
mod list_sessions;
mod login;
mod logout;
mod mails;
mod new_password;
mod pages;
mod proof;
mod refresh;
mod register;
mod resend_confirmation;
mod reset_password;
mod store;
mod token_pair;
mod undo_email_change;

use std::time::Duration;

use actix_web::{HttpRequest, http::header};
use utoipa_actix_web::service_config::ServiceConfig;

pub use self::{
    mails::{Mailing, jobs},
    pages::{Pages, routes as pages},
    store::prune,
};
use crate::{
    http::{ClientIp, RateLimit},
    tokens::sessions::Client,
};

/// What one address may ask of the endpoints that anyone can call and that cost a hash or a mail.
const PER_ADDRESS: RateLimit =
    RateLimit { name: "auth by address", burst: 100, every: Duration::from_secs(3) };

/// Mails to one address, whoever asks for them; each flow has its own. In a common one anybody could
/// use up what its owner needs, such as the mail for a new password, with requests that mail nothing.
const MAILS: RateLimit = RateLimit { name: "mails", burst: 5, every: Duration::from_mins(15) };

/// Codes tried for one address or user, whoever tries: five on a challenge would otherwise be five
/// on each of many. Against one live code, 24 tries a day find one of a million within a year with a
/// chance of less than one percent. Registrations of an address have a code each, so at most five
/// (see [`MAILS`]) multiply that.
const CODE_TRIES: RateLimit = RateLimit { name: "code tries", burst: 20, every: Duration::from_hours(1) };

pub fn routes(config: &mut ServiceConfig) {
    config
        .service(register::register)
        .service(login::login)
        .service(refresh::refresh)
        .service(logout::logout)
        .service(list_sessions::list_sessions)
        .service(end_session::end_session)
        .service(confirm::confirm)
        .service(resend_confirmation::resend_confirmation)
        .service(forgot_password::forgot_password)
        .service(reset_password::reset_password)
        .service(change_password::change_password)
        .service(confirm_password_change::confirm_password_change)
        .service(change_email::change_email)
        .service(confirm_email_change::confirm_email_change)
        .service(undo_email_change::undo_email_change)
        .service(delete_me::delete_me);
}

fn client(req: &HttpRequest, address: ClientIp) -> Client {
    let user_agent = req.headers().get(header::USER_AGENT);
    Client::new(address.0, user_agent.and_then(|value| value.to_str().ok()))
}
