//! A client whose requests are counted.

use std::future::{Ready, ready};

use actix_web::{FromRequest, HttpRequest, dev::Payload, web::Data};

use super::{Auth, PER_ADDRESS};
use crate::{http::Problem, tokens::Client};

/// A [`Client`] that calls what needs no access token and costs a hash or a mail. Naming it in a handler counts
/// the request against [`PER_ADDRESS`], before the body is read; beyond the limit the request gets a 429.
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
