//! How people get in and out: register, log in, refresh, log out, their sessions.

mod end_session;
mod list_sessions;
mod login;
mod logout;
mod refresh;
mod register;
mod token_pair;

use std::time::Duration;

use actix_web::{HttpRequest, http::header};
use utoipa_actix_web::service_config::ServiceConfig;

use crate::{
    http::{ClientIp, RateLimit},
    tokens::sessions::Client,
};

/// What one address may ask of the endpoints that anyone can call and that cost a hash.
const PER_ADDRESS: RateLimit =
    RateLimit { name: "auth by address", burst: 100, every: Duration::from_secs(3) };

pub fn routes(config: &mut ServiceConfig) {
    config
        .service(register::register)
        .service(login::login)
        .service(refresh::refresh)
        .service(logout::logout)
        .service(list_sessions::list_sessions)
        .service(end_session::end_session);
}

fn client(req: &HttpRequest, address: ClientIp) -> Client {
    let user_agent = req.headers().get(header::USER_AGENT);
    Client::new(address.0, user_agent.and_then(|value| value.to_str().ok()))
}
