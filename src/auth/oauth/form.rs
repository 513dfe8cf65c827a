//! The form that carries a token (RFC 7662 section 2.1, RFC 7009 section 2.1).

use std::time::Duration;

use actix_web::{
    FromRequest, HttpMessage, HttpRequest,
    dev::Payload,
    http::header::{self, HeaderMap},
};
use futures_util::future::LocalBoxFuture;
use serde::Deserialize;
use url::form_urlencoded;
use utoipa::ToSchema;

use super::error::OAuthError;
use crate::http::{BodyLimits, kind};

const LIMITS: BodyLimits =
    BodyLimits { size: 64 * 1024, time: Duration::from_secs(10), cut_off: &kind::MALFORMED_BODY };

/// A token, and what the client thinks it is. Other parameters are ignored, as RFC 6749 section 3.2 wants.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(example = json!({"token": "eyJ0eXAiOiJhdCtqd3QiLCJhbGciOiJFZERTQSJ9.e30.c2ln", "token_type_hint": "access_token"}))]
pub struct TokenForm {
    /// An access token, a refresh token or an API key.
    #[schema(max_length = 65536)]
    pub token: String,
    /// `access_token` or `refresh_token`; other values are ignored.
    #[schema(value_type = String, required = false, max_length = 65536)]
    pub token_type_hint: Option<String>,
}

impl FromRequest for TokenForm {
    type Error = OAuthError;
    type Future = LocalBoxFuture<'static, Result<Self, OAuthError>>;

    fn from_request(req: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let (req, payload) = (req.clone(), payload.take());
        Box::pin(async move {
            let is_form = req.content_type().eq_ignore_ascii_case("application/x-www-form-urlencoded");
            if !is_form || is_encoded(req.headers()) {
                return Err(OAuthError::InvalidRequest("the body must be application/x-www-form-urlencoded"));
            }
            parse(&LIMITS.read(&req, payload).await?).map_err(OAuthError::InvalidRequest)
        })
    }
}

fn is_encoded(headers: &HeaderMap) -> bool {
    headers.contains_key(header::CONTENT_ENCODING)
}

/// Reads the two parameters. One without a value counts as left out; one that is repeated is an error (RFC 6749 section
/// 3.2).
fn parse(body: &[u8]) -> Result<TokenForm, &'static str> {
    let (mut token, mut hint) = (None, None);
    for (name, value) in form_urlencoded::parse(body) {
        let (place, repeated) = match &*name {
            "token" => (&mut token, "`token` is repeated"),
            "token_type_hint" => (&mut hint, "`token_type_hint` is repeated"),
            _ => continue,
        };
        if place.replace(value.into_owned()).is_some() {
            return Err(repeated);
        }
    }
    let token = token.filter(|token| !token.is_empty()).ok_or("`token` is missing")?;
    Ok(TokenForm { token, token_type_hint: hint.filter(|hint| !hint.is_empty()) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_has_one_token_and_at_most_one_hint() {
        let read = |body: &str| parse(body.as_bytes()).map(|form| (form.token, form.token_type_hint));
        let (a, b) = (|| "a".to_owned(), || Some("b".to_owned()));
        assert_eq!(read("token=a"), Ok((a(), None)));
        assert_eq!(read("token_type_hint=b&client_id=c&token=a"), Ok((a(), b())));
        assert_eq!(read("token=a&token_type_hint="), Ok((a(), None)));
        assert_eq!(read("x=1&x=2&token=a"), Ok((a(), None)));
        assert_eq!(read("token=%C3%A4+b"), Ok(("ä b".into(), None)));
        for wrong in ["", "token=", "token", "tokens=a", "token=a&token=a", "token=&token=a"] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
        assert!(read("token=a&token_type_hint=b&token_type_hint=b").is_err());
        assert!(parse(b"token=\xff%00%zz").is_ok(), "such bytes are no token of ours");
    }
}
