//! Finds the credentials of a request: an access token or an API key.

use actix_web::{
    HttpRequest,
    http::header::{self, HeaderName, HeaderValue},
};

use base64::{Engine, prelude::BASE64_STANDARD};
use percent_encoding::percent_decode_str;
use uuid::Uuid;

use super::{
    api_keys::{self, Digest, Scope},
    jwt::Refusal,
};
use crate::http::{Problem, kind};

pub const X_API_KEY: HeaderName = HeaderName::from_static("x-api-key");

/// What a request is sent with; not verified yet.
pub(super) enum Credentials<'a> {
    Token(&'a str),
    /// The hash of a key whose checksum is right.
    Key(Digest),
}

/// Reads `Authorization: Bearer …`, which carries either kind, or `X-Api-Key`. With both it is not clear who sends the
/// request, so that is refused.
pub(super) fn credentials(req: &HttpRequest) -> Result<Credentials<'_>, Problem> {
    let mut keys = req.headers().get_all(X_API_KEY);
    let Some(key) = keys.next() else {
        return match bearer(req)? {
            key if key.starts_with(api_keys::PREFIX) => parse(key),
            token => Ok(Credentials::Token(token)),
        };
    };
    if keys.next().is_some() || req.headers().contains_key(header::AUTHORIZATION) {
        let problem = Problem::from(Refusal::Invalid);
        return Err(
            problem.detail("send either one `Authorization` or one `X-Api-Key`, not several credentials")
        );
    }
    parse(key.to_str().unwrap_or_default().trim())
}

/// Returns the access token of a request to an endpoint that accepts no API key. A key is not looked up there, so the
/// response is the same whether or not it exists.
pub(super) fn access_token(req: &HttpRequest) -> Result<&str, Problem> {
    match credentials(req)? {
        Credentials::Token(token) => Ok(token),
        Credentials::Key(_) => Err(insufficient_scope(None)),
    }
}

/// The API key of a program that asks about tokens, and the id of the key if the program names it as its client id.
pub(super) fn machine_credentials(req: &HttpRequest) -> Result<(Digest, Option<Uuid>), Problem> {
    let basic = match req.headers().get_all(header::AUTHORIZATION).collect::<Vec<_>>()[..] {
        [one] if !req.headers().contains_key(X_API_KEY) => {
            one.to_str().ok().and_then(|text| text.split_once(' '))
        }
        _ => None,
    };
    match basic {
        Some((scheme, encoded)) if scheme.eq_ignore_ascii_case("basic") => basic_credentials(encoded)
            .ok_or_else(|| invalid_key("the client id or the key of HTTP Basic is wrong")),
        _ => match credentials(req)? {
            Credentials::Key(digest) => Ok((digest, None)),
            Credentials::Token(_) => Err(insufficient_scope(Some(Scope::TokensIntrospect))),
        },
    }
}

/// Reads the credentials of HTTP Basic: the client id is the first 8 characters of the key, or its id. Both parts are
/// form-encoded (RFC 6749 section 2.3.1).
fn basic_credentials(encoded: &str) -> Option<(Digest, Option<Uuid>)> {
    let text = String::from_utf8(BASE64_STANDARD.decode(encoded.trim()).ok()?).ok()?;
    let (client, key) = text.split_once(':')?;
    let client = percent_decode_str(client).decode_utf8().ok()?;
    let key = percent_decode_str(key).decode_utf8().ok()?;
    let digest = api_keys::digest_of(&key)?;
    match Uuid::parse_str(&client) {
        Ok(id) => Some((digest, Some(id))),
        Err(_) => (client.len() == 8 && key.starts_with(&*client)).then_some((digest, None)),
    }
}

fn parse(key: &str) -> Result<Credentials<'_>, Problem> {
    match api_keys::digest_of(key) {
        Some(digest) => Ok(Credentials::Key(digest)),
        None => Err(invalid_key("the checksum is wrong: the key is mistyped or truncated")),
    }
}

pub(super) fn invalid_key(why: &'static str) -> Problem {
    Problem::new(&kind::INVALID_API_KEY).detail(why).challenge(true)
}

/// A 403 of RFC 6750 section 3.1: to a key without the scope, or where no key is accepted.
pub(super) fn insufficient_scope(needed: Option<Scope>) -> Problem {
    let (detail, challenge) = match needed {
        Some(scope) => (
            format!("the API key needs the scope `{}`", scope.as_str()),
            format!(r#"Bearer realm="mintage", error="insufficient_scope", scope="{}""#, scope.as_str()),
        ),
        None => (
            "API keys are not accepted here: use an access token".into(),
            r#"Bearer realm="mintage", error="insufficient_scope""#.into(),
        ),
    };
    let challenge = HeaderValue::try_from(challenge).expect("visible characters");
    Problem::new(&kind::INSUFFICIENT_SCOPE).detail(detail).header(header::WWW_AUTHENTICATE, challenge)
}

/// The token of `Authorization: Bearer …` (RFC 6750 section 2.1); the scheme is
/// case-insensitive (RFC 9110 section 11.1). Two such headers are no credentials.
fn bearer(req: &HttpRequest) -> Result<&str, Refusal> {
    let mut values = req.headers().get_all(header::AUTHORIZATION);
    let value = values.next().ok_or(Refusal::Missing)?;
    if values.next().is_some() {
        return Err(Refusal::Invalid);
    }
    let text = value.to_str().map_err(|_| Refusal::Invalid)?;
    match text.split_once(' ') {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => Ok(token.trim()),
        _ => Err(Refusal::Missing),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn basic_credentials_name_the_key_by_its_beginning_or_its_id() {
        let key = api_keys::NewSecret::random();
        let read = |text: String| basic_credentials(&BASE64_STANDARD.encode(text));
        let id = Uuid::now_v7();
        assert_eq!(read(format!("{}:{}", key.shown, key.text)), Some((key.digest, None)));
        assert_eq!(read(format!("{id}:{}", key.text)), Some((key.digest, Some(id))));
        let escaped = format!("{}:{}", key.shown, key.text).replace('_', "%5F");
        assert_eq!(read(escaped), Some((key.digest, None)));
        for wrong in [
            format!(":{}", key.text),
            format!("mtg_:{}", key.text),
            format!("{}:", key.shown),
            format!("{}:{}", key.text, key.shown),
            key.text.clone(),
            String::new(),
        ] {
            assert_eq!(read(wrong.clone()), None, "{wrong}");
        }
        assert_eq!(basic_credentials("not base64"), None);
    }
}
