//! Extracts the client of a request and counts the request against its address.

use std::future::{Ready, ready};

use actix_web::{FromRequest, HttpRequest, dev::Payload, web::Data};

use super::{Auth, PER_ADDRESS};
use crate::{http::Problem, tokens::Client};

/// The [`Client`] of an endpoint that needs no access token and costs a hash or a mail. A handler that takes it counts
/// the request against [`PER_ADDRESS`] before the body is read. Beyond the limit the request gets a 429.
pub(super) struct Caller(pub Client);

impl FromRequest for Caller {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(req: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let auth = req.app_data::<Data<Auth>>().expect("set by the app");
        let client = Client::from_request(req, payload).into_inner();
        ready(client.and_then(|client| {
            auth.limits.requests.check_address(PER_ADDRESS, client.address)?;
            Ok(Self(client))
        }))
    }
}
