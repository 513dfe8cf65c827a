//! Repeats the response of a POST that a client sends twice, by the field `Idempotency-Key`
//! (draft-ietf-httpapi-idempotency-key-header).
//!
//! A client that gets no answer cannot know whether its request was carried out. With a key of its choice it may send
//! the request again: the server does the work once and repeats the response for 24 hours, also after a restart and on
//! another replica. The response is stored in the transaction that does the work, so there is either both or neither.
//! An error is not stored: the request that caused it can be repeated.

use actix_web::{
    HttpMessage, HttpRequest, HttpResponse, HttpResponseBuilder,
    http::{
        StatusCode,
        header::{self, HeaderName},
    },
};
use aws_lc_rs::digest::{self, SHA256};
use base64::{Engine, prelude::BASE64_STANDARD};
use chrono::{DateTime, TimeDelta, Utc};
use diesel::{
    PgConnection, QueryResult,
    dsl::sql,
    prelude::*,
    sql_types::{BigInt, Bool},
};
use serde::{Deserialize, Serialize};

use crate::{
    db::{UserId, schema::idempotency_keys},
    http::{BodyDigest, Problem, kind},
    tokens::Sealer,
};

pub const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
pub const IDEMPOTENCY_REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");
const MAX_LENGTH: usize = 255;
const LIFETIME: TimeDelta = TimeDelta::hours(24);
/// Rows that housekeeping deletes in one statement.
const BATCH: i64 = 1000;

/// The key of a request, if it has one.
#[derive(Debug)]
pub struct IdempotencyKey(Option<Given>);

#[derive(Debug)]
struct Given {
    key: Vec<u8>,
    fingerprint: Vec<u8>,
}

impl IdempotencyKey {
    /// Reads the field of a request whose body was extracted as [`Json`](crate::http::Json). Keys of different users
    /// and operations are different keys.
    ///
    /// # Errors
    /// `malformed-header`.
    pub fn of(req: &HttpRequest, user: UserId) -> Result<Self, Problem> {
        let mut values = req.headers().get_all(IDEMPOTENCY_KEY);
        let Some(value) = values.next() else {
            return Ok(Self(None));
        };
        let text =
            value.to_str().ok().filter(|_| values.next().is_none()).and_then(parse).ok_or_else(|| {
                Problem::new(&kind::MALFORMED_HEADER).detail(format!(
                    "`Idempotency-Key` must be one value of 1 to {MAX_LENGTH} visible ASCII characters"
                ))
            })?;
        let parts = [user.0.as_bytes().as_slice(), req.method().as_str().as_bytes(), req.path().as_bytes()];
        let key = [parts.join(&b' ').as_slice(), b" ", text.as_bytes()].concat();
        let fingerprint = req.extensions().get::<BodyDigest>().map(|digest| digest.0.clone());
        Ok(Self(Some(Given { key: sha256(&key), fingerprint: fingerprint.unwrap_or_default() })))
    }

    /// Does the work unless it was done before, in the caller's transaction, and returns the response.
    ///
    /// # Errors
    /// Those of `work`; `idempotency-key-in-use` while another request with the key runs; `idempotency-key-reused` for
    /// another body.
    pub fn once(
        self,
        conn: &mut PgConnection,
        sealer: &Sealer,
        now: DateTime<Utc>,
        work: impl FnOnce(&mut PgConnection) -> Result<Reply, Problem>,
    ) -> Result<Reply, Problem> {
        let Some(given) = self.0 else {
            return work(conn);
        };
        if !given.try_lock(conn)? {
            return Err(Problem::new(&kind::IDEMPOTENCY_KEY_IN_USE).retry_after(1));
        }
        if let Some((fingerprint, response)) = given.find(conn, now)? {
            if fingerprint != given.fingerprint {
                return Err(Problem::new(&kind::IDEMPOTENCY_KEY_REUSED));
            }
            let opened = sealer.open(&response, &given.context()).map_err(|_| {
                Problem::unavailable("a stored response was encrypted with another SECRET_KEY")
            })?;
            let reply: Reply = serde_json::from_slice(&opened.plain).map_err(Problem::internal)?;
            return Ok(Reply { replayed: true, ..reply });
        }
        let reply = work(conn)?;
        let plain = serde_json::to_vec(&reply).map_err(Problem::internal)?;
        let sealed = sealer.seal(&plain, &given.context()).map_err(Problem::internal)?;
        given.insert(conn, &sealed, now)?;
        Ok(reply)
    }
}

/// Accepts the value as a string of RFC 8941, which the draft prescribes, and without the quotes, as many clients send it.
fn parse(text: &str) -> Option<&str> {
    let quoted = text.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
    let key = quoted.unwrap_or(text);
    let is_visible = key.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'"');
    ((1..=MAX_LENGTH).contains(&key.len()) && is_visible).then_some(key)
}

impl Given {
    /// Takes a lock that ends with the transaction; false while another transaction has it.
    fn try_lock(&self, conn: &mut PgConnection) -> QueryResult<bool> {
        let number = self.key.first_chunk().map_or(0, |bytes| i64::from_be_bytes(*bytes));
        let lock = sql::<Bool>("pg_try_advisory_xact_lock(").bind::<BigInt, _>(number).sql(")");
        diesel::select(lock).get_result(conn)
    }

    fn find(&self, conn: &mut PgConnection, now: DateTime<Utc>) -> QueryResult<Option<(Vec<u8>, Vec<u8>)>> {
        idempotency_keys::table
            .find(&self.key)
            .filter(idempotency_keys::created_at.gt(now - LIFETIME))
            .select((idempotency_keys::fingerprint, idempotency_keys::response))
            .first(conn)
            .optional()
    }

    fn insert(&self, conn: &mut PgConnection, response: &[u8], now: DateTime<Utc>) -> QueryResult<()> {
        let values = (
            idempotency_keys::fingerprint.eq(&self.fingerprint),
            idempotency_keys::response.eq(response),
            idempotency_keys::created_at.eq(now),
        );
        diesel::insert_into(idempotency_keys::table)
            .values((idempotency_keys::key.eq(&self.key), values))
            .on_conflict(idempotency_keys::key)
            .do_update()
            .set(values)
            .execute(conn)?;
        Ok(())
    }

    /// The encrypted response cannot be moved to another key.
    fn context(&self) -> String {
        format!("idempotency {}", BASE64_STANDARD.encode(&self.key))
    }
}

/// A response that can be stored and repeated.
#[derive(Debug, Serialize, Deserialize)]
pub struct Reply {
    status: u16,
    location: Option<String>,
    etag: Option<String>,
    /// JSON.
    body: String,
    #[serde(skip)]
    replayed: bool,
}

impl Reply {
    /// A 201 with a body.
    pub fn created<T: Serialize>(body: &T, location: Option<String>) -> Result<Self, Problem> {
        let body = serde_json::to_string(body).map_err(Problem::internal)?;
        Ok(Self { status: 201, location, etag: None, body, replayed: false })
    }

    #[must_use]
    pub fn with_etag(mut self, etag: String) -> Self {
        self.etag = Some(etag);
        self
    }

    /// Builds the response. A repeated one has `Idempotency-Replayed: true`.
    pub fn respond(self) -> HttpResponse {
        let status = StatusCode::from_u16(self.status).expect("stored by this server");
        let mut response = HttpResponseBuilder::new(status);
        let fields = [(header::LOCATION, self.location), (header::ETAG, self.etag)];
        for (name, value) in fields.into_iter().filter_map(|(name, value)| Some((name, value?))) {
            response.insert_header((name, value));
        }
        if self.replayed {
            response.insert_header((IDEMPOTENCY_REPLAYED, "true"));
        }
        response.content_type("application/json").body(self.body)
    }
}

/// Deletes at most [`BATCH`] responses that are older than 24 hours. Returns true if there may be more.
pub fn prune(conn: &mut PgConnection, now: DateTime<Utc>) -> QueryResult<bool> {
    let old: Vec<Vec<u8>> = idempotency_keys::table
        .filter(idempotency_keys::created_at.lt(now - LIFETIME))
        .select(idempotency_keys::key)
        .order(idempotency_keys::key)
        .limit(BATCH)
        .for_update()
        .skip_locked()
        .load(conn)?;
    let count =
        diesel::delete(idempotency_keys::table.filter(idempotency_keys::key.eq_any(old))).execute(conn)?;
    Ok(count >= usize::try_from(BATCH).expect("small"))
}

fn sha256(bytes: &[u8]) -> Vec<u8> {
    digest::digest(&SHA256, bytes).as_ref().to_vec()
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn a_key_is_a_string_with_or_without_quotes() {
        assert_eq!(parse("\"8e03978e-40d5\""), Some("8e03978e-40d5"));
        assert_eq!(parse("8e03978e-40d5"), Some("8e03978e-40d5"));
        for bad in ["", "\"\"", "\"a", "a\"b", "a b", "ü", &"x".repeat(256)] {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }
}
