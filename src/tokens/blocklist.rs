//! Keeps the ended sessions whose access tokens have not expired, or expired less than an hour ago.
//!
//! They are stored in a table, and every replica has a copy in memory, so that checking a request costs no query. An
//! entry reaches the other replicas by NOTIFY when its transaction commits, well within a second. Without a connection
//! to the database, tokens are accepted for a bounded time only.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use chrono::{DateTime, TimeDelta, Utc};
use diesel::{PgConnection, QueryResult, pg::PgRowByRowLoadingMode, prelude::*, sql_query, sql_types};
use parking_lot::RwLock;
use uuid::Uuid;

use crate::{
    clock::Clock,
    db::{Change, Follow, SessionId, schema::blocklist},
};

const CHANNEL: &str = "mintage_blocklist";
/// How long entries are kept after the last access token has expired. So a clock that was ahead by at most this time
/// does not make tokens of an ended session valid again once it is corrected.
const RETENTION: TimeDelta = TimeDelta::hours(1);

/// A session that has ended.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ended {
    pub session: SessionId,
    /// When the last of its access tokens has expired.
    pub until: DateTime<Utc>,
}

/// Sessions that a transaction has ended. Pass them to [`EndedSessions::refuse`] after the commit, so that this server
/// refuses their access tokens from the next request on. Other servers are notified by the commit.
#[must_use = "the access tokens of ended sessions have to be refused"]
#[derive(Debug, Default)]
pub struct EndedSessions(Vec<Ended>);

impl EndedSessions {
    /// Adds the sessions to the table, and notifies the other servers when the transaction commits.
    pub(super) fn block(conn: &mut PgConnection, ended: Vec<Ended>) -> QueryResult<Self> {
        let row =
            |ended: &Ended| (blocklist::session_id.eq(ended.session), blocklist::expires_at.eq(ended.until));
        diesel::insert_into(blocklist::table)
            .values(ended.iter().map(row).collect::<Vec<_>>())
            .on_conflict_do_nothing()
            .execute(conn)?;
        for Ended { session, until } in &ended {
            sql_query("SELECT pg_notify($1, $2)")
                .bind::<sql_types::Text, _>(CHANNEL)
                .bind::<sql_types::Text, _>(format!("{session} {}", until.timestamp()))
                .execute(conn)?;
        }
        Ok(Self(ended))
    }

    /// The number of sessions.
    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// Makes this server refuse their access tokens. Returns the number of sessions.
    pub fn refuse(self, blocklist: &Blocklist) -> usize {
        blocklist.refuse(&self.0);
        self.0.len()
    }

    /// Leaves the refusal to the running servers, in a process that serves no requests. Returns the number of sessions.
    pub fn leave_to_servers(self) -> usize {
        self.0.len()
    }
}

/// The copy in memory of the `blocklist` table.
pub struct Blocklist {
    clock: Clock,
    max_staleness: Duration,
    state: RwLock<State>,
}

struct State {
    /// For each session the Unix second in which its last access token expires; in 32 bits, because there may be
    /// millions.
    ended: HashMap<SessionId, u32>,
    confirmed_at: Instant,
    /// Entries that expired by this Unix second were dropped.
    swept: i64,
}

/// The status of a session, which decides whether its tokens are accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SessionStatus {
    Live,
    Ended,
    /// There was no connection to the database for too long to know.
    Unknown,
}

impl Blocklist {
    pub fn new(clock: Clock, max_staleness: Duration) -> Self {
        let state = State { ended: HashMap::new(), confirmed_at: Instant::now(), swept: 0 };
        Self { clock, max_staleness, state: RwLock::new(state) }
    }

    /// Whether this server knows which sessions have ended and which keys are revoked. If not, it accepts no token.
    pub fn is_current(&self) -> bool {
        self.status(SessionId(Uuid::nil())) == SessionStatus::Live
    }

    /// Returns how long ago the list was confirmed by the database.
    pub fn confirmed_ago(&self) -> Duration {
        self.state.read().confirmed_at.elapsed()
    }

    pub fn status(&self, session: SessionId) -> SessionStatus {
        let state = self.state.read();
        if state.ended.contains_key(&session) {
            SessionStatus::Ended
        } else if state.confirmed_at.elapsed() > self.max_staleness {
            SessionStatus::Unknown
        } else {
            SessionStatus::Live
        }
    }

    /// Takes effect with the next request on this replica.
    fn refuse(&self, ended: &[Ended]) {
        let entries = ended.iter().map(|ended| (ended.session, seconds(ended.until)));
        self.change(|state| state.ended.extend(entries));
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.state.write());
    }
}

impl Follow for Blocklist {
    fn channel(&self) -> &'static str {
        CHANNEL
    }

    fn load(&self, conn: &mut PgConnection) -> QueryResult<Change<'_>> {
        // Row by row, because libpq would otherwise collect all of a million rows before the first is read.
        let rows = blocklist::table
            .filter(blocklist::expires_at.gt(self.clock.earliest() - RETENTION))
            .select((blocklist::session_id, blocklist::expires_at))
            .load_iter::<(SessionId, DateTime<Utc>), PgRowByRowLoadingMode>(conn)?;
        let mut loaded = HashMap::new();
        for row in rows {
            let (session, until) = row?;
            loaded.insert(session, seconds(until));
        }
        Ok(Box::new(|| {
            self.change(|state| {
                // Entries that this server has added in the meantime must not be lost.
                loaded.extend(state.ended.drain());
                state.ended = loaded;
            });
        }))
    }

    fn notified(&self, _: &mut PgConnection, payload: &str) -> QueryResult<Change<'_>> {
        let entry = payload.split_once(' ').and_then(|(session, until)| {
            let session = SessionId(session.parse().ok()?);
            let until = DateTime::from_timestamp(until.parse().ok()?, 0)?;
            Some(Ended { session, until })
        });
        if entry.is_none() {
            tracing::warn!("unreadable blocklist notification");
        }
        Ok(Box::new(move || self.refuse(entry.as_slice())))
    }

    fn confirmed(&self) {
        // A system clock that is far behind must not keep entries forever.
        let over = (self.clock.earliest() - RETENTION).max(self.clock.now() - TimeDelta::days(1)).timestamp();
        self.change(|state| {
            state.confirmed_at = Instant::now();
            if over.abs_diff(state.swept) >= 60 {
                state.ended.retain(|_, until| i64::from(*until) > over);
                state.swept = over;
            }
        });
    }
}

fn seconds(time: DateTime<Utc>) -> u32 {
    u32::try_from(time.timestamp()).unwrap_or(u32::MAX)
}

/// Deletes at most `max` entries that expired more than an hour ago.
pub(super) fn prune(conn: &mut PgConnection, now: DateTime<Utc>, max: usize) -> QueryResult<usize> {
    let expired: Vec<SessionId> = blocklist::table
        .filter(blocklist::expires_at.lt(now - RETENTION))
        .select(blocklist::session_id)
        .limit(max.try_into().expect("small"))
        .for_update()
        .skip_locked()
        .load(conn)?;
    diesel::delete(blocklist::table.filter(blocklist::session_id.eq_any(expired))).execute(conn)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ended_session_is_refused_until_its_entry_expires() {
        let clock = Clock::default();
        let list = Blocklist::new(clock.clone(), Duration::from_mins(5));
        let (session, other) = (SessionId(Uuid::now_v7()), SessionId(Uuid::now_v7()));
        EndedSessions(vec![Ended { session, until: clock.now() + TimeDelta::minutes(10) }]).refuse(&list);
        assert_eq!((list.status(session), list.status(other)), (SessionStatus::Ended, SessionStatus::Live));
        clock.advance(Duration::from_mins(69));
        list.confirmed();
        assert_eq!(list.status(session), SessionStatus::Ended, "the clock may be an hour ahead");
        clock.advance(Duration::from_mins(2));
        list.confirmed();
        assert_eq!(list.status(session), SessionStatus::Live, "no token of it can be valid any more");
    }

    #[test]
    fn without_a_confirmation_for_too_long_no_session_is_accepted() {
        let clock = Clock::default();
        let list = Blocklist::new(clock.clone(), Duration::ZERO);
        let session = SessionId(Uuid::now_v7());
        EndedSessions(vec![Ended { session, until: clock.now() }]).refuse(&list);
        std::thread::sleep(Duration::from_millis(1));
        assert_eq!(list.status(session), SessionStatus::Ended);
        assert_eq!(list.status(SessionId(Uuid::now_v7())), SessionStatus::Unknown);
    }
}
