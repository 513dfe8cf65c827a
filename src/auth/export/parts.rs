//! Reads what is stored about a user, part by part, as JSON.
//!
//! A test walks all tables: each is read here, or has a reason why it is not.

use diesel::{
    PgConnection, QueryResult, QueryableByName, RunQueryDsl, sql_query,
    sql_types::{Text, Uuid as SqlUuid},
};
use uuid::Uuid;

use crate::{
    audit,
    db::UserId,
    http::rows::{self, Batch},
};

/// Where the next part begins.
#[derive(Clone, Copy, Debug)]
pub(super) enum Place {
    /// The index in [`LISTS`].
    List(usize),
    /// Events before this one.
    Events(Option<Uuid>),
}

impl Default for Place {
    fn default() -> Self {
        Self::List(0)
    }
}

const ACCOUNT: &str = "account";

/// The members of the document and what they list, of the user `$1`. Each has few rows: their numbers are limited.
const LISTS: [(&str, &str); 10] = [
    (
        ACCOUNT,
        "SELECT id, email, email_confirmed_at, email_changed_at, username, name, role, created_at, updated_at, \
             disabled_at, disabled_reason, deleted_at, purge_at, login_count, current_login_at, \
             current_login_address, last_login_at, last_login_address, \
             '/api/v1/users/' || id || '/avatar?size=512&v=' || avatar_hash AS avatar_url \
         FROM users WHERE id = $1",
    ),
    (
        "sessions",
        "SELECT s.id, s.created_at, s.last_seen_at, s.refresh_expires_at, s.expires_at, s.remember, s.address, \
             s.user_agent, (SELECT count(*) FROM refresh_tokens r WHERE r.session_id = s.id) AS refresh_tokens \
         FROM sessions s WHERE s.user_id = $1 ORDER BY s.id LIMIT 1000",
    ),
    (
        "login_networks",
        "SELECT network, last_used_at FROM login_networks WHERE user_id = $1 ORDER BY last_used_at LIMIT 1000",
    ),
    (
        "login_devices",
        "SELECT network, program, last_used_at FROM login_devices WHERE user_id = $1 \
         ORDER BY last_used_at LIMIT 1000",
    ),
    (
        "api_keys",
        "SELECT k.id, k.name, k.prefix, k.scopes, k.created_at, k.expires_at, k.last_used_at, k.revoked_at, \
             coalesce((SELECT json_agg(json_build_object('day', u.day, 'requests', u.requests) ORDER BY u.day) \
                 FROM api_key_usage u WHERE u.key_id = k.id), '[]') AS usage \
         FROM api_keys k WHERE k.user_id = $1 ORDER BY k.id LIMIT 1000",
    ),
    (
        "watchlist",
        "SELECT w.coin_id, c.symbol, c.name, w.added_at FROM watchlist w JOIN coins c ON c.id = w.coin_id \
         WHERE w.user_id = $1 ORDER BY w.added_at, w.coin_id LIMIT 10000",
    ),
    (
        "alerts",
        "SELECT a.id, a.coin_id, c.symbol, a.metric, a.currency, a.direction, a.threshold, a.hysteresis, a.once, \
             a.armed, a.created_at, a.crossed_at \
         FROM alerts a LEFT JOIN coins c ON c.id = a.coin_id WHERE a.user_id = $1 ORDER BY a.id LIMIT 1000",
    ),
    (
        "portfolio",
        "SELECT p.id, p.coin_id, c.symbol, p.kind, p.amount::text, p.total::text, p.currency, p.day, p.created_at \
         FROM portfolio_transactions p JOIN coins c ON c.id = p.coin_id WHERE p.user_id = $1 \
         ORDER BY p.day, p.kind, p.id LIMIT 10000",
    ),
    (
        "mailed_links",
        "SELECT purpose, email, session_id, created_at, expires_at, consumed_at FROM challenges \
         WHERE user_id = $1 ORDER BY id LIMIT 1000",
    ),
    (
        // Jobs hold the id of the account, or its address.
        "pending_mails",
        "SELECT j.kind, j.state, j.created_at, j.due_at, j.payload FROM jobs j JOIN users u ON u.id = $1 \
         WHERE (j.payload ->> 'email' = u.email AND u.email_confirmed_at IS NOT NULL) \
             OR $1::text IN (j.payload ->> 'user', j.payload ->> 'account') \
             OR j.payload ->> 'challenge' IN (SELECT c.id::text FROM challenges c WHERE c.user_id = $1) \
         ORDER BY j.id LIMIT 1000",
    ),
];

#[derive(QueryableByName)]
struct Row {
    #[diesel(sql_type = Text)]
    json: String,
}

/// Reads the part at `place`, as text that continues the document, and where the next one begins.
pub(super) fn read(conn: &mut PgConnection, user: UserId, place: Place) -> QueryResult<Batch<String, Place>> {
    match place {
        Place::List(index) => {
            let (name, query) = LISTS[index];
            let next = if index + 1 < LISTS.len() { Place::List(index + 1) } else { Place::Events(None) };
            Ok((vec![format!(",\"{name}\":{}", read_list(conn, user, name, query)?)], Some(next)))
        }
        Place::Events(before) => read_events(conn, user, before),
    }
}

fn read_list(conn: &mut PgConnection, user: UserId, name: &str, query: &str) -> QueryResult<String> {
    let rows: Vec<Row> = sql_query(format!("SELECT row_to_json(t)::text AS json FROM ({query}) t"))
        .bind::<SqlUuid, _>(user)
        .load(conn)?;
    let rows = rows.into_iter().map(|row| row.json).collect::<Vec<_>>().join(",");
    Ok(if name == ACCOUNT { rows } else { format!("[{rows}]") })
}

fn read_events(
    conn: &mut PgConnection,
    user: UserId,
    before: Option<Uuid>,
) -> QueryResult<Batch<String, Place>> {
    let (events, next) = audit::list_of(conn, user, before, rows::BATCH)?;
    let json: Vec<String> =
        events.iter().map(|event| serde_json::to_string(event).expect("plain values")).collect();
    let begin = if before.is_none() { ",\"events\":[" } else { "," };
    let end = if next.is_none() { "]}" } else { "" };
    Ok((vec![format!("{begin}{}{end}", json.join(","))], next.map(|id| Place::Events(Some(id)))))
}
