//! Parses and validates query and path parameters.

use std::future::{Ready, ready};

use actix_web::{FromRequest, HttpRequest, dev::Payload, web};
use percent_encoding::percent_decode_str;
use serde::de::DeserializeOwned;
use validator::Validate;

use super::{
    json::{flatten, plain, pointer_of},
    kind,
    problem::Problem,
};

/// Validated query parameters.
pub struct Query<T>(pub T);

impl<T: DeserializeOwned + Validate> FromRequest for Query<T> {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(req: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(parse(req.query_string()).map(Self))
    }
}

fn parse<T: DeserializeOwned + Validate>(query: &str) -> Result<T, Problem> {
    let malformed = || Problem::new(&kind::MALFORMED_QUERY);
    // The decoder below replaces invalid UTF-8 instead of refusing it.
    match percent_decode_str(query).decode_utf8() {
        Ok(text) if !text.contains('\0') => {}
        _ => return Err(malformed().detail("the query string must be UTF-8 without U+0000")),
    }
    let pairs = serde_urlencoded::Deserializer::new(url::form_urlencoded::parse(query.as_bytes()));
    let value: T = serde_path_to_error::deserialize(pairs).map_err(|error| {
        let (pointer, message) = (pointer_of(error.path()), error.into_inner().to_string());
        // serde names a duplicate or unknown parameter only in its text.
        let named = message.split('`').nth(1).unwrap_or_default();
        let pointer = if pointer.is_empty() { format!("/{named}") } else { pointer };
        malformed().field(pointer, "query", plain(&message).to_owned())
    })?;
    value.validate().map_err(|errors| Problem::new(&kind::VALIDATION_FAILED).fields(flatten(&errors)))?;
    Ok(value)
}

/// A path parameter; one that cannot be parsed is a 400.
#[derive(Debug)]
pub struct Path<T>(pub T);

impl<T: DeserializeOwned + 'static> FromRequest for Path<T> {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(req: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let found = web::Path::<T>::from_request(req, payload).into_inner();
        ready(
            found
                .map(|path| Self(path.into_inner()))
                .map_err(|error| Problem::new(&kind::MALFORMED_PATH).detail(error.to_string())),
        )
    }
}
