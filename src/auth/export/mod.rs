//! Answers `GET /api/v1/user/export`: everything that is stored about the current user, as one JSON document.

mod parts;

use actix_web::{
    HttpResponse, get,
    http::header::{self, HeaderValue},
    web::Data,
};
use chrono::{DateTime, TimeDelta, Utc};
use diesel::PgConnection;
use serde_json::Value;
use utoipa::ToSchema;

use self::parts::Place;
use super::Auth;
use crate::{
    audit::{Event, EventKind},
    http::{Problem, kind, rows::respond_rows},
    tokens::{Client, CurrentUser, Refusal, sessions},
};

/// How long ago the log-in may have been. A stolen access token, or a device left behind, is not enough.
const MAX_AGE: TimeDelta = TimeDelta::minutes(15);

/// Everything that is stored about a person. Passwords, tokens and the secrets of keys and mails are not in it.
#[derive(ToSchema)]
#[expect(dead_code, reason = "only documented")]
pub struct DataExport {
    exported_at: DateTime<Utc>,
    /// The account, with the address of its picture.
    #[schema(value_type = Object, example = json!({"email": "ada@example.com", "username": "ada"}))]
    account: Value,
    /// With address, `User-Agent` and the number of their refreshes.
    #[schema(example = json!([{"address": "203.0.113.9"}]))]
    sessions: Vec<Value>,
    /// Networks from which you logged in within 30 days.
    #[schema(example = json!([{"network": "203.0.113.0/24"}]))]
    login_networks: Vec<Value>,
    /// Networks and programs from which you logged in: others are mailed.
    #[schema(example = json!([{"network": "203.0.113.0/24", "program": "Firefox on Linux"}]))]
    login_devices: Vec<Value>,
    /// With the number of requests by day, also of keys that were revoked lately.
    #[schema(example = json!([{"name": "ticker"}]))]
    api_keys: Vec<Value>,
    #[schema(example = json!([{"symbol": "BTC"}]))]
    watchlist: Vec<Value>,
    #[schema(example = json!([{"symbol": "BTC", "metric": "price", "threshold": 75000.0}]))]
    alerts: Vec<Value>,
    /// The transactions of the portfolio.
    #[schema(example = json!([{"symbol": "BTC", "kind": "buy", "amount": "0.25", "total": "15000.00", "currency": "GBP"}]))]
    portfolio: Vec<Value>,
    /// Links and codes that were mailed, without them.
    #[schema(example = json!([{"purpose": "reset-password"}]))]
    mailed_links: Vec<Value>,
    /// Mails that wait to be sent, or could not be sent.
    #[schema(example = json!([{"kind": "mail-notice"}]))]
    pending_mails: Vec<Value>,
    /// As `GET /api/v1/user/events` lists them, the newest first.
    #[schema(example = json!([{"kind": "logged-in"}]))]
    events: Vec<Value>,
}

/// Export your data
///
/// Returns everything that is stored about you (GDPR, articles 15 and 20) as a file. The session must have begun at most
/// 15 minutes ago, so that a stolen token is not enough: log in again before. A body that is cut off is not valid JSON.
#[utoipa::path(
    tag = "user",
    security(("bearer" = [])),
    responses(
        (status = 200, description = "Your data.", body = DataExport,
            headers(("Content-Disposition" = String, description = "`attachment`, with a name for the file."))),
        (status = 403, description = "`recent-login-required`."),
        (status = 429, description = "`too-many-requests`: at most three at once, then one an hour.")
    )
)]
#[get("/user/export")]
pub async fn export_me(me: CurrentUser, client: Client, auth: Data<Auth>) -> Result<HttpResponse, Problem> {
    let (now, limits, user) = (auth.now(), auth.limits.clone(), me.id);
    let begin = move |conn: &mut PgConnection| -> Result<(), Problem> {
        let began = sessions::began_at(conn, me.id, me.session)?.ok_or(Refusal::Revoked)?;
        if now - began > MAX_AGE {
            return Err(Problem::new(&kind::RECENT_LOGIN_REQUIRED));
        }
        limits.budgets.spend(conn, limits.rates.exports, &me.id.to_string(), now)?;
        Event::by_user(EventKind::DataExported, &me, &client).record(conn, now)?;
        Ok(())
    };
    auth.db.tx(begin).await?;
    let db = auth.db.clone();
    let fetch = move |place: Option<Place>| {
        let db = db.clone();
        async move { db.query(move |conn| parts::read(conn, user, place.unwrap_or_default())).await }
    };
    let heading = format!("{{\"exported_at\":{}", serde_json::json!(now));
    let write = |part: &String, text: &mut Vec<u8>| text.extend_from_slice(part.as_bytes());
    let mut response = respond_rows("application/json", heading.into_bytes(), fetch, write).await?;
    let name = HeaderValue::from_static("attachment; filename=\"export.json\"");
    response.headers_mut().insert(header::CONTENT_DISPOSITION, name);
    Ok(response)
}
