//! Starts, lists and ends sessions. A log-in starts one. It ends by a log-out, by newer sessions or when it expires.

use chrono::{DateTime, TimeDelta, Utc};
use diesel::{PgConnection, QueryResult, pg::Pg, prelude::*, sql_types::Bool};
use ipnet::IpNet;
use uuid::Uuid;

use super::{
    activity::{Activity, MAX_WRITE_DELAY},
    blocklist::{self, Ended, EndedSessions},
    claims::RefreshClaims,
    client::Client,
    jwt::LEEWAY,
    lifetimes::{Lifetimes, Ttl},
    login_networks,
    refresh::{Grant, RefreshToken},
    role::Role,
};
use crate::{
    db::{
        SessionId, UserId,
        schema::{refresh_tokens, sessions},
    },
    http::Network,
};

/// Maximum number of sessions of a user. Beyond it the least recently used ones end.
const MAX_PER_USER: usize = 100;
/// Rows that housekeeping deletes in one statement.
const BATCH: usize = 1000;

/// A session that has not ended.
#[derive(Queryable, Selectable, Debug)]
#[diesel(table_name = sessions)]
pub struct Session {
    pub id: SessionId,
    pub user_agent: Option<String>,
    pub address: Option<IpNet>,
    pub created_at: DateTime<Utc>,
    pub last_seen_at: DateTime<Utc>,
    pub refresh_expires_at: DateTime<Utc>,
}

/// A session to start.
#[derive(Debug)]
pub struct NewSession {
    pub user: UserId,
    pub role: Role,
    /// Whether to keep it for long, see [`Lifetimes`].
    pub remember: bool,
    pub client: Client,
}

/// Starts a session of a user whose password was right. If the user has [`MAX_PER_USER`], the least recently used one
/// ends.
///
/// # Errors
/// A foreign key violation if the user was deleted in the meantime.
pub fn start(
    conn: &mut PgConnection,
    new: NewSession,
    times: &Lifetimes,
    activity: &Activity,
) -> QueryResult<(Grant, EndedSessions)> {
    let NewSession { user, role, remember, client } = new;
    let (Ttl { idle, max }, now) = (times.of(remember), times.now);
    let token = RefreshToken::new(SessionId(Uuid::now_v7()), 0, now, now + idle.min(max));
    diesel::insert_into(sessions::table)
        .values((
            sessions::id.eq(token.session_id),
            sessions::user_id.eq(user),
            sessions::remember.eq(remember),
            sessions::user_agent.eq(client.user_agent),
            sessions::address.eq(IpNet::from(client.address)),
            sessions::access_expires_at.eq(times.access_expires_at),
            sessions::refresh_expires_at.eq(token.expires_at),
            sessions::expires_at.eq(now + max),
            sessions::created_at.eq(now),
            sessions::last_seen_at.eq(now),
        ))
        .execute(conn)?;
    token.insert(conn)?;
    login_networks::remember(conn, user, Network::of(client.address), now)?;
    let surplus = surplus(conn, user, token.session_id, activity)?;
    let ended = end(conn, user, Selection::Only(&surplus))?;
    Ok((token.grant(user, role), ended))
}

/// Returns the least recently used of a user's sessions beyond [`MAX_PER_USER`], but never `new`.
///
/// A session that was used since its log-in may have been used later than written, so [`MAX_WRITE_DELAY`] is added.
fn surplus(
    conn: &mut PgConnection,
    user: UserId,
    new: SessionId,
    activity: &Activity,
) -> QueryResult<Vec<SessionId>> {
    let others: Vec<(SessionId, DateTime<Utc>, DateTime<Utc>)> = sessions::table
        .filter(sessions::user_id.eq(user).and(sessions::id.ne(new)))
        .select((sessions::id, sessions::created_at, sessions::last_seen_at))
        .load(conn)?;
    let mut by_use: Vec<_> = others
        .into_iter()
        .map(|(id, created_at, seen_at)| {
            let written = if seen_at > created_at { seen_at + MAX_WRITE_DELAY } else { seen_at };
            let here = activity.last_use(id).map(|at| at + MAX_WRITE_DELAY);
            (here.map_or(written, |here| here.max(written)), id)
        })
        .collect();
    by_use.sort_unstable_by(|one, other| other.cmp(one));
    Ok(by_use.into_iter().skip(MAX_PER_USER - 1).map(|(_, id)| id).collect())
}

/// Lists the user's sessions that have not ended, the most recently used first; at most [`MAX_PER_USER`].
pub fn list(conn: &mut PgConnection, user: UserId, now: DateTime<Utc>) -> QueryResult<Vec<Session>> {
    sessions::table
        .filter(sessions::user_id.eq(user).and(sessions::refresh_expires_at.gt(now)))
        .order((sessions::last_seen_at.desc(), sessions::id.desc()))
        .limit(MAX_PER_USER.try_into().expect("small"))
        .select(Session::as_select())
        .load(conn)
}

/// Whether this is a session of this user that has not ended.
pub fn is_live(conn: &mut PgConnection, user: UserId, session: SessionId) -> QueryResult<bool> {
    let row = sessions::table.filter(sessions::id.eq(session).and(sessions::user_id.eq(user)));
    diesel::select(diesel::dsl::exists(row)).get_result(conn)
}

/// When this session of this user began, unless it has ended.
pub fn began_at(
    conn: &mut PgConnection,
    user: UserId,
    session: SessionId,
) -> QueryResult<Option<DateTime<Utc>>> {
    let row = sessions::table.filter(sessions::id.eq(session).and(sessions::user_id.eq(user)));
    row.select(sessions::created_at).first(conn).optional()
}

/// Whether this is the newest refresh token of a session that has not ended.
pub fn is_newest(conn: &mut PgConnection, token: &RefreshClaims, now: DateTime<Utc>) -> QueryResult<bool> {
    let live = sessions::table
        .filter(sessions::id.eq(token.sid).and(sessions::user_id.eq(token.sub)))
        .filter(sessions::generation.eq(token.generation).and(sessions::refresh_expires_at.gt(now)));
    let row =
        refresh_tokens::table.find((token.sid, token.generation)).filter(refresh_tokens::id.eq(token.jti));
    diesel::select(diesel::dsl::exists(live).and(diesel::dsl::exists(row))).get_result(conn)
}

/// Some of a user's sessions.
#[derive(Clone, Copy, Debug)]
pub enum Selection<'a> {
    Only(&'a [SessionId]),
    AllBut(SessionId),
    All,
}

/// Ends sessions of a user and blocks their access tokens.
///
/// A transaction that also changes the user's row changes that first, so that locks are taken in one order.
pub fn end(conn: &mut PgConnection, user: UserId, selection: Selection) -> QueryResult<EndedSessions> {
    let wanted: Box<dyn BoxableExpression<sessions::table, Pg, SqlType = Bool>> = match selection {
        Selection::Only(ids) => Box::new(sessions::id.eq_any(ids)),
        Selection::AllBut(id) => Box::new(sessions::id.ne(id)),
        Selection::All => Box::new(sessions::id.is_not_null()),
    };
    let picked: Vec<SessionId> = sessions::table
        .filter(sessions::user_id.eq(user).and(wanted))
        .select(sessions::id)
        .order(sessions::id)
        .for_update()
        .load(conn)?;
    if picked.is_empty() {
        return Ok(EndedSessions::default());
    }
    let ended = diesel::delete(sessions::table.filter(sessions::id.eq_any(picked)))
        .returning((sessions::id, sessions::access_expires_at))
        .load::<(SessionId, DateTime<Utc>)>(conn)?
        .into_iter()
        .map(|(session, expires_at)| Ended { session, until: expires_at + LEEWAY })
        .collect();
    EndedSessions::block(conn, ended)
}

/// Deletes sessions and blocklist entries whose tokens expired more than an hour ago, at most [`BATCH`] of each.
/// Returns true if there may be more.
pub fn prune(conn: &mut PgConnection, now: DateTime<Utc>) -> QueryResult<bool> {
    let limit = now - LEEWAY - TimeDelta::hours(1);
    let over = sessions::expires_at.lt(limit).and(sessions::access_expires_at.lt(limit));
    let old: Vec<SessionId> = sessions::table
        .filter(over)
        .select(sessions::id)
        .order(sessions::id)
        .limit(BATCH.try_into().expect("small"))
        .for_update()
        .skip_locked()
        .load(conn)?;
    let ended = diesel::delete(sessions::table.filter(sessions::id.eq_any(old))).execute(conn)?;
    let unblocked = blocklist::prune(conn, now, BATCH)?;
    Ok(ended.max(unblocked) == BATCH)
}
