//! Extracts the client of a request and counts the request against its address.

use actix_web::{FromRequest, HttpRequest, dev::Payload, web::Data};
use futures_util::{FutureExt, future::LocalBoxFuture};

use super::Auth;
use crate::{http::Problem, tokens::Client};

/// The [`Client`] of an endpoint that needs no access token and costs a hash or a mail. A handler that takes it counts
/// the request against `RATE_LIMIT_AUTH` before the body is read. Beyond the limit the request gets a 429.
pub(super) struct Caller(pub Client);

impl FromRequest for Caller {
    type Error = Problem;
    type Future = LocalBoxFuture<'static, Result<Self, Problem>>;

    fn from_request(req: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let client = Client::from_request(req, payload).into_inner();
        let req = req.clone();
        let counted = async move {
            let client = client?;
            let limits = &req.app_data::<Data<Auth>>().expect("set by the app").limits;
            limits.requests.count_address(&req, limits.rates.auth, client.address).await?;
            Ok(Self(client))
        };
        counted.boxed_local()
    }
}
