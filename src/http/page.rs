//! Keyset paging: `?limit&cursor` in, `{data, next_cursor}` out.
//!
//! A page starts after the last id of the previous one, so every page takes the same time.

use std::{borrow::Cow, fmt};

use actix_web::HttpRequest;
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use serde::{Deserialize, Deserializer, Serialize, de};
use uuid::Uuid;

use super::{kind, problem::Problem};

pub const DEFAULT_LIMIT: u32 = 20;
pub const MAX_LIMIT: u32 = 100;

/// The id after which a page starts; opaque to clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cursor(pub Uuid);

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&BASE64_URL_SAFE_NO_PAD.encode(self.0.as_bytes()))
    }
}

impl Serialize for Cursor {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Cursor {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<str>::deserialize(deserializer)?;
        let bytes = BASE64_URL_SAFE_NO_PAD.decode(text.as_bytes()).ok();
        let id = bytes.and_then(|bytes| Uuid::from_slice(&bytes).ok());
        id.map(Self).ok_or_else(|| de::Error::custom("is not a `next_cursor`"))
    }
}

/// Refuses `limit` where all rows are returned.
///
/// # Errors
/// `malformed-query`.
pub fn refuse_limit(limit: Option<u32>) -> Result<(), Problem> {
    let message = "is not a parameter of exports, which return all rows that match";
    limit.map_or(Ok(()), |_| Err(Problem::new(&kind::MALFORMED_QUERY).field("/limit", "query", message)))
}

/// Returns the value of the field `Link` with the address of the next page: that of the request with another cursor.
pub fn next_link(req: &HttpRequest, cursor: &Cursor) -> String {
    let pairs = url::form_urlencoded::parse(req.query_string().as_bytes());
    let mut query = url::form_urlencoded::Serializer::new(String::new());
    query.extend_pairs(pairs.filter(|(name, _)| name != "cursor"));
    query.append_pair("cursor", &cursor.to_string());
    format!("<{}?{}>; rel=\"next\"", req.path(), query.finish())
}

/// Makes a page of up to `limit + 1` rows: the additional row shows that there is a next page.
pub fn cut<T>(mut rows: Vec<T>, limit: u32, id: impl Fn(&T) -> Uuid) -> (Vec<T>, Option<Cursor>) {
    let more = rows.len() > limit as usize;
    rows.truncate(limit as usize);
    let next = rows.last().filter(|_| more).map(|last| Cursor(id(last)));
    (rows, next)
}
