//! Sessions and the rotation of their refresh tokens.
//!
//! A refresh token is exchanged for the next *generation*. A rotated one that comes again is
//! answered with the newest token, not with a log-out, when an honest client may have sent it:
//! within a grace period (tabs that race), or as long as nothing of the newest generation has
//! been used (its response was lost). Anything else is reuse and ends the session
//! (RFC 9700 section 4.14.2).

use std::net::IpAddr;

use chrono::{DateTime, TimeDelta, Utc};
use diesel::{PgConnection, QueryResult, pg::Pg, prelude::*, sql_types::Bool};
use ipnet::IpNet;
use uuid::Uuid;

use super::{
    activity, blocklist,
    jwt::{LEEWAY, RefreshClaims},
    login_networks,
    role::Role,
    rotation::{self, RotateNewest},
};
use crate::{
    config,
    db::schema::{refresh_tokens, sessions, users},
    http::Network,
};

/// Beyond these a user's least recently used sessions end.
const MOST_PER_USER: i64 = 100;
const LONGEST_USER_AGENT: usize = 256;
/// Rows that housekeeping touches in one statement.
const BATCH: usize = 1000;

/// A live log-in.
#[derive(Queryable, Selectable, Debug)]
#[diesel(table_name = sessions)]
pub struct Session {
    pub id: Uuid,
    pub user_agent: Option<String>,
    pub address: Option<IpNet>,
    pub created_at: DateTime<Utc>,
    pub last_seen_at: DateTime<Utc>,
    pub refresh_expires_at: DateTime<Utc>,
}

/// A session that ended, and when the last of its access tokens has expired.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ended {
    pub session: Uuid,
    pub until: DateTime<Utc>,
}

/// Who is on the other end.
#[derive(Clone, Debug)]
pub struct Client {
    pub address: IpAddr,
    pub user_agent: Option<String>,
}

impl Client {
    #[must_use]
    pub fn new(address: IpAddr, user_agent: Option<&str>) -> Self {
        let cut = |text: &str| text.chars().filter(|c| !c.is_control()).take(LONGEST_USER_AGENT).collect();
        Self { address, user_agent: user_agent.map(cut) }
    }
}

/// The times that a log-in or a refresh depends on.
#[derive(Clone, Debug)]
pub struct Lifetimes {
    pub now: DateTime<Utc>,
    pub access_expires_at: DateTime<Utc>,
    remembered: (TimeDelta, TimeDelta),
    short: (TimeDelta, TimeDelta),
    grace: TimeDelta,
}

impl Lifetimes {
    #[must_use]
    pub fn new(settings: &config::Tokens, now: DateTime<Utc>) -> Self {
        let delta = |duration| TimeDelta::from_std(duration).expect("the settings are bounded");
        Self {
            now,
            access_expires_at: now + delta(settings.access_ttl),
            remembered: (delta(settings.refresh_idle_ttl), delta(settings.refresh_max_ttl)),
            short: (delta(settings.short_idle_ttl), delta(settings.short_max_ttl)),
            grace: delta(settings.refresh_grace),
        }
    }

    fn of(&self, remember: bool) -> (TimeDelta, TimeDelta) {
        if remember { self.remembered } else { self.short }
    }
}

/// What tokens to issue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    pub role: Role,
    pub claims: RefreshClaims,
    pub issued_at: DateTime<Utc>,
    pub expires_at: DateTime<Utc>,
}

/// What became of a refresh token.
#[derive(Debug)]
pub enum Exchange {
    Granted(Grant),
    /// The session has ended, or the token never belonged to it.
    Unknown,
    Reused(Vec<Ended>),
}

#[derive(Queryable, Selectable)]
#[diesel(table_name = refresh_tokens)]
struct RefreshToken {
    session_id: Uuid,
    generation: i32,
    id: Uuid,
    issued_at: DateTime<Utc>,
    expires_at: DateTime<Utc>,
}

impl RefreshToken {
    fn new(session_id: Uuid, generation: i32, now: DateTime<Utc>, expires_at: DateTime<Utc>) -> Self {
        Self { session_id, generation, id: Uuid::now_v7(), issued_at: now, expires_at }
    }

    /// Column by column: an `Option` would make a statement that diesel does not keep prepared.
    fn insert(&self, conn: &mut PgConnection) -> QueryResult<()> {
        diesel::insert_into(refresh_tokens::table)
            .values((
                refresh_tokens::session_id.eq(self.session_id),
                refresh_tokens::generation.eq(self.generation),
                refresh_tokens::id.eq(self.id),
                refresh_tokens::issued_at.eq(self.issued_at),
                refresh_tokens::expires_at.eq(self.expires_at),
            ))
            .execute(conn)?;
        Ok(())
    }

    fn grant(self, user: Uuid, role: Role) -> Grant {
        Grant {
            role,
            claims: RefreshClaims {
                sub: user,
                sid: self.session_id,
                jti: self.id,
                generation: self.generation,
            },
            issued_at: self.issued_at,
            expires_at: self.expires_at,
        }
    }
}

/// Starts a session for a user whose password was right.
///
/// # Errors
/// A foreign key violation when the user was deleted meanwhile.
pub fn start(
    conn: &mut PgConnection,
    user: (Uuid, Role),
    remember: bool,
    client: Client,
    times: &Lifetimes,
) -> QueryResult<(Grant, Vec<Ended>)> {
    let (idle, max) = times.of(remember);
    let now = times.now;
    let token = RefreshToken::new(Uuid::now_v7(), 0, now, now + idle.min(max));
    diesel::insert_into(sessions::table)
        .values((
            sessions::id.eq(token.session_id),
            sessions::user_id.eq(user.0),
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
    login_networks::remember(conn, user.0, Network::of(client.address), now)?;
    let surplus: Vec<Uuid> = sessions::table
        .filter(sessions::user_id.eq(user.0).and(sessions::id.ne(token.session_id)))
        .order((sessions::last_seen_at.desc(), sessions::id.desc()))
        .offset(MOST_PER_USER - 1)
        .select(sessions::id)
        .load(conn)?;
    let ended = end(conn, user.0, Which::These(&surplus))?;
    Ok((token.grant(user.0, user.1), ended))
}

/// A refresh token that came, and who sent it.
#[derive(Debug)]
pub struct Presented {
    pub claims: RefreshClaims,
    /// The newest generation whose access token this replica has seen.
    pub seen_here: Option<i32>,
    pub client: Client,
}

/// Exchanges refresh tokens; see the module's documentation for the rules. One answer each, in order.
///
/// # Errors
/// The database cannot be written.
pub fn exchange(
    conn: &mut PgConnection,
    presented: Vec<Presented>,
    times: &Lifetimes,
) -> QueryResult<Vec<Exchange>> {
    let next_ids: Vec<_> = presented.iter().map(|_| Uuid::now_v7()).collect();
    let mut columns = rotation::Presented::default();
    for (one, next_id) in presented.iter().zip(&next_ids) {
        columns.session.push(one.claims.sid);
        columns.user.push(one.claims.sub);
        columns.generation.push(one.claims.generation);
        columns.id.push(one.claims.jti);
        columns.next_id.push(*next_id);
        columns.seen.push(one.seen_here.unwrap_or(-1));
        columns.user_agent.push(one.client.user_agent.as_deref());
        columns.address.push(one.client.address.into());
    }
    let rotated = RotateNewest {
        presented: columns,
        now: times.now,
        access_expires_at: times.access_expires_at,
        refresh_expires_at: (times.now + times.remembered.0, times.now + times.short.0),
        settled_before: times.now - times.grace,
    }
    .run(conn)?;
    let answer = |(one, next_id): (Presented, Uuid)| {
        let Some((_, expires_at, role)) = rotated.iter().find(|(id, ..)| *id == next_id).copied() else {
            return conn.transaction(|conn| settle(conn, one, times));
        };
        let claims = RefreshClaims { jti: next_id, generation: one.claims.generation + 1, ..one.claims };
        Ok(Exchange::Granted(Grant { role, claims, issued_at: times.now, expires_at }))
    };
    presented.into_iter().zip(next_ids).map(answer).collect()
}

/// For a token that is not, or was a moment ago, the newest of its session.
fn settle(conn: &mut PgConnection, presented: Presented, times: &Lifetimes) -> QueryResult<Exchange> {
    let Presented { claims, seen_here, client } = presented;
    // The row lock makes racing requests take turns.
    let session = sessions::table
        .filter(sessions::id.eq(claims.sid).and(sessions::user_id.eq(claims.sub)))
        .select((
            sessions::generation,
            sessions::seen_generation,
            sessions::access_expires_at,
            users::table.find(claims.sub).select(users::role).single_value().assume_not_null(),
        ))
        .for_update()
        .first::<(i32, i32, DateTime<Utc>, Role)>(conn)
        .optional()?;
    let Some((newest, seen, access_expires_at, role)) = session else {
        return Ok(Exchange::Unknown);
    };
    let rotated_at = refresh_tokens::table
        .find((claims.sid, claims.generation))
        .filter(refresh_tokens::id.eq(claims.jti).and(refresh_tokens::rotated_at.is_not_null()))
        .select(refresh_tokens::rotated_at.assume_not_null())
        .first::<DateTime<Utc>>(conn)
        .optional()?;
    let seen = seen.max(seen_here.unwrap_or(-1));
    if decide(rotated_at, claims.generation, newest, seen, times) == Decision::Reuse {
        let ended = end(conn, claims.sub, Which::These(&[claims.sid]))?;
        return Ok(Exchange::Reused(ended));
    }
    let token: RefreshToken =
        refresh_tokens::table.find((claims.sid, newest)).select(RefreshToken::as_select()).first(conn)?;
    diesel::update(sessions::table.find(claims.sid))
        .set((
            sessions::seen_generation.eq(seen),
            // Never earlier than that of a token which is out already.
            sessions::access_expires_at.eq(times.access_expires_at.max(access_expires_at)),
            sessions::last_seen_at.eq(times.now),
            sessions::user_agent.eq(client.user_agent),
            sessions::address.eq(IpNet::from(client.address)),
        ))
        .execute(conn)?;
    Ok(Exchange::Granted(token.grant(claims.sub, role)))
}

#[derive(Debug, PartialEq, Eq)]
enum Decision {
    Reissue,
    Reuse,
}

/// `rotated_at` is None when the token is so old that its row is gone.
fn decide(
    rotated_at: Option<DateTime<Utc>>,
    generation: i32,
    newest: i32,
    seen: i32,
    times: &Lifetimes,
) -> Decision {
    match rotated_at {
        None => Decision::Reuse,
        Some(rotated_at) if times.now - rotated_at <= times.grace => Decision::Reissue,
        Some(_) if generation + 1 == newest && seen < newest => Decision::Reissue,
        Some(_) => Decision::Reuse,
    }
}

/// The user's live sessions, the most recently used first.
///
/// # Errors
/// The database cannot be read.
pub fn list(conn: &mut PgConnection, user: Uuid, now: DateTime<Utc>) -> QueryResult<Vec<Session>> {
    sessions::table
        .filter(sessions::user_id.eq(user).and(sessions::refresh_expires_at.gt(now)))
        .order((sessions::last_seen_at.desc(), sessions::id.desc()))
        .select(Session::as_select())
        .load(conn)
}

/// Whether this session of this user is still live.
///
/// # Errors
/// The database cannot be read.
pub fn is_live(conn: &mut PgConnection, user: Uuid, session: Uuid) -> QueryResult<bool> {
    let row = sessions::table.filter(sessions::id.eq(session).and(sessions::user_id.eq(user)));
    diesel::select(diesel::dsl::exists(row)).get_result(conn)
}

/// Which of a user's sessions to end.
#[derive(Clone, Copy, Debug)]
pub enum Which<'a> {
    These(&'a [Uuid]),
    AllBut(Uuid),
    All,
}

/// Ends sessions of a user and blocks their access tokens.
///
/// Whoever also changes the user's row does that first: locks are taken in this order.
///
/// # Errors
/// The database cannot be written.
pub fn end(conn: &mut PgConnection, user: Uuid, which: Which) -> QueryResult<Vec<Ended>> {
    let wanted: Box<dyn BoxableExpression<sessions::table, Pg, SqlType = Bool>> = match which {
        Which::These(ids) => Box::new(sessions::id.eq_any(ids)),
        Which::AllBut(id) => Box::new(sessions::id.ne(id)),
        Which::All => Box::new(sessions::id.is_not_null()),
    };
    let picked: Vec<Uuid> = sessions::table
        .filter(sessions::user_id.eq(user).and(wanted))
        .select(sessions::id)
        .order(sessions::id)
        .for_update()
        .load(conn)?;
    if picked.is_empty() {
        return Ok(Vec::new());
    }
    let ended: Vec<Ended> = diesel::delete(sessions::table.filter(sessions::id.eq_any(picked)))
        .returning((sessions::id, sessions::access_expires_at))
        .load::<(Uuid, DateTime<Utc>)>(conn)?
        .into_iter()
        .map(|(session, expires_at)| Ended { session, until: expires_at + LEEWAY })
        .collect();
    blocklist::block(conn, &ended)?;
    Ok(ended)
}

/// Removes sessions and blocklist entries that no token can belong to any more, at most
/// [`BATCH`] of each; true if there may be more.
///
/// # Errors
/// The database cannot be written.
pub fn prune(conn: &mut PgConnection, now: DateTime<Utc>) -> QueryResult<bool> {
    let limit = now - LEEWAY;
    let over = sessions::expires_at.lt(limit).and(sessions::access_expires_at.lt(limit));
    let old: Vec<Uuid> = sessions::table
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

/// Writes down which sessions were used, at most [`BATCH`] of them; true if there are more.
///
/// # Errors
/// The database cannot be written; then nothing is forgotten.
pub fn store_activity(
    conn: &mut PgConnection,
    activity: &activity::Activity,
    now: DateTime<Utc>,
) -> QueryResult<bool> {
    let news = activity.pending(BATCH);
    if !news.is_empty() {
        activity::store(conn, &news)?;
        activity.written(&news);
    }
    activity.forget_written(now);
    Ok(news.len() == BATCH)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    fn times(now: DateTime<Utc>) -> Lifetimes {
        Lifetimes {
            now,
            access_expires_at: now,
            remembered: (TimeDelta::days(14), TimeDelta::days(90)),
            short: (TimeDelta::hours(12), TimeDelta::hours(24)),
            grace: TimeDelta::from_std(Duration::from_secs(10)).expect("short"),
        }
    }

    proptest! {
        #[test]
        fn a_rotated_token_is_reissued_only_in_the_grace_or_while_its_successor_is_unused(
            age in 0i64..100, behind in 1i32..4, seen_behind in 0i32..4,
        ) {
            let now = DateTime::from_timestamp(1_800_000_000, 0).expect("time");
            let newest = 10;
            let rotated_at = now - TimeDelta::seconds(age);
            let decision =
                decide(Some(rotated_at), newest - behind, newest, newest - seen_behind, &times(now));
            let successor_unused = behind == 1 && seen_behind >= 1;
            let expected = if age <= 10 || successor_unused { Decision::Reissue } else { Decision::Reuse };
            prop_assert_eq!(decision, expected);
        }
    }

    #[test]
    fn a_forgotten_token_is_reuse() {
        assert_eq!(decide(None, 1, 9, 9, &times(DateTime::UNIX_EPOCH)), Decision::Reuse);
    }
}
