//! Ended sessions whose access tokens have not expired yet, or not long ago.
//!
//! The table is the truth; every replica keeps it in memory, so that checking a request costs
//! no query. An entry reaches the other replicas by NOTIFY with the commit that made it, well
//! within a second. When the database is away, tokens are accepted for a bounded time only.

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
/// How long entries are kept beyond their time. When a clock has been ahead by up to that, the tokens of
/// an ended session are not accepted again once it is right.
const KEPT: TimeDelta = TimeDelta::hours(1);

/// A session that has ended.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ended {
    pub session: SessionId,
    /// When the last of its access tokens has expired.
    pub until: DateTime<Utc>,
}

/// Sessions that a transaction has ended. It is to be refused when that has committed, so that this server
/// accepts none of their access tokens from the next request on; other servers learn of it by NOTIFY.
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

    /// Makes this server refuse their access tokens; returns how many sessions there are.
    pub fn refuse(self, blocklist: &Blocklist) -> usize {
        blocklist.refuse(&self.0);
        self.0.len()
    }

    /// Leaves that to the running servers, in a process that serves no requests; returns how many sessions
    /// there are.
    pub fn leave_to_servers(self) -> usize {
        self.0.len()
    }
}

/// A view in memory of the `blocklist` table.
pub struct Blocklist {
    clock: Clock,
    max_staleness: Duration,
    state: RwLock<State>,
}

struct State {
    /// Session to the Unix second when its last access token expires; 32 bits, since there
    /// may be millions.
    ended: HashMap<SessionId, u32>,
    confirmed_at: Instant,
    /// Entries that expired by this Unix second were dropped.
    swept: i64,
}

/// Whether a session's tokens are good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    Good,
    Ended,
    /// The database has been away for too long to tell.
    Unknown,
}

impl Blocklist {
    pub fn new(clock: Clock, max_staleness: Duration) -> Self {
        let state = State { ended: HashMap::new(), confirmed_at: Instant::now(), swept: 0 };
        Self { clock, max_staleness, state: RwLock::new(state) }
    }

    /// Whether it is known who is logged out and which keys are revoked; if not, no token is accepted.
    pub fn is_current(&self) -> bool {
        self.standing(SessionId(Uuid::nil())) == Standing::Good
    }

    /// How long ago the database confirmed the list.
    pub fn confirmed_ago(&self) -> Duration {
        self.state.read().confirmed_at.elapsed()
    }

    pub fn standing(&self, session: SessionId) -> Standing {
        let state = self.state.read();
        if state.ended.contains_key(&session) {
            Standing::Ended
        } else if state.confirmed_at.elapsed() > self.max_staleness {
            Standing::Unknown
        } else {
            Standing::Good
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
        // Row by row: libpq would hold a million rows in memory before we see the first.
        let rows = blocklist::table
            .filter(blocklist::expires_at.gt(self.clock.earliest() - KEPT))
            .select((blocklist::session_id, blocklist::expires_at))
            .load_iter::<(SessionId, DateTime<Utc>), PgRowByRowLoadingMode>(conn)?;
        let mut loaded = HashMap::new();
        for row in rows {
            let (session, until) = row?;
            loaded.insert(session, seconds(until));
        }
        Ok(Box::new(|| {
            self.change(|state| {
                // Entries made here a moment ago must not be lost.
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
            tracing::warn!("a blocklist notification cannot be read");
        }
        Ok(Box::new(move || self.refuse(entry.as_slice())))
    }

    fn confirmed(&self) {
        // A system clock that is far behind must not keep entries for ever.
        let over = (self.clock.earliest() - KEPT).max(self.clock.now() - TimeDelta::days(1)).timestamp();
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

/// Removes at most so many entries that expired an hour ago.
pub(super) fn prune(conn: &mut PgConnection, now: DateTime<Utc>, most: usize) -> QueryResult<usize> {
    let expired: Vec<SessionId> = blocklist::table
        .filter(blocklist::expires_at.lt(now - KEPT))
        .select(blocklist::session_id)
        .limit(most.try_into().expect("small"))
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
        assert_eq!((list.standing(session), list.standing(other)), (Standing::Ended, Standing::Good));
        clock.advance(Duration::from_mins(69));
        list.confirmed();
        assert_eq!(list.standing(session), Standing::Ended, "the clock may be an hour ahead");
        clock.advance(Duration::from_mins(2));
        list.confirmed();
        assert_eq!(list.standing(session), Standing::Good, "no token of it can be valid any more");
    }

    #[test]
    fn without_news_for_too_long_nobody_is_known_to_be_good() {
        let clock = Clock::default();
        let list = Blocklist::new(clock.clone(), Duration::ZERO);
        let session = SessionId(Uuid::now_v7());
        EndedSessions(vec![Ended { session, until: clock.now() }]).refuse(&list);
        std::thread::sleep(Duration::from_millis(1));
        assert_eq!(list.standing(session), Standing::Ended);
        assert_eq!(list.standing(SessionId(Uuid::now_v7())), Standing::Unknown);
    }
}
