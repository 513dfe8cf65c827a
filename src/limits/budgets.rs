//! Stores budgets in PostgreSQL, which hold over replicas and restarts.

use std::time::Duration;

use aws_lc_rs::hmac::{self, HMAC_SHA256};
use chrono::{DateTime, TimeDelta, Utc};
use diesel::{
    PgConnection, QueryResult, QueryableByName,
    prelude::*,
    sql_query,
    sql_types::{Binary, Interval, Timestamptz},
};

use super::{RateLimit, too_many};
use crate::{db::schema::budgets, http::Problem};

/// Rows that housekeeping deletes in one statement.
const BATCH: i64 = 1000;

/// Spends and restores budgets. Their names in the table are HMACs under a key of this server.
pub struct Budgets {
    enabled: bool,
    key: hmac::Key,
}

/// One unit of a budget was spent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spent {
    MoreLeft,
    /// The next unit will be refused.
    TheLast,
}

#[derive(QueryableByName)]
struct FreeAt {
    #[diesel(sql_type = Timestamptz)]
    free_at: DateTime<Utc>,
}

impl Budgets {
    /// Takes a `key` that is derived from `SECRET_KEY`: budgets are named by an HMAC, so a stolen dump reveals neither
    /// whose they are nor which addresses were tried.
    pub fn new(enabled: bool, key: &[u8]) -> Self {
        Self { enabled, key: hmac::Key::new(HMAC_SHA256, key) }
    }

    /// Spends one unit of the budget of `subject` under `limit`, unless `RATE_LIMITS=off`. It counts when the
    /// transaction commits. Another transaction that spends from the same budget waits until then.
    ///
    /// # Errors
    /// `too-many-requests` with `Retry-After`; or the database cannot be written.
    pub fn spend(
        &self,
        conn: &mut PgConnection,
        limit: RateLimit,
        subject: &str,
        now: DateTime<Utc>,
    ) -> Result<Spent, Problem> {
        if !self.enabled {
            return Ok(Spent::MoreLeft);
        }
        self.take(conn, limit, subject, now)?.map_err(too_many)
    }

    /// As [`Budgets::spend`], also with `RATE_LIMITS=off`. When nothing is left, the inner error is how
    /// long to wait.
    pub fn take(
        &self,
        conn: &mut PgConnection,
        limit: RateLimit,
        subject: &str,
        now: DateTime<Utc>,
    ) -> QueryResult<Result<Spent, Duration>> {
        let (every, max_debt) = (delta(limit.every), delta(limit.every * limit.burst));
        let key = self.name(limit, subject);
        let spent = sql_query(
            // A debt more than an hour above the maximum comes from a clock that was ahead, and is corrected.
            "INSERT INTO budgets AS b (key, free_at) VALUES ($1, $2 + $3) \
             ON CONFLICT (key) DO UPDATE SET free_at = least(greatest(b.free_at, $2), $2 + $4 - $3) + $3 \
             WHERE greatest(b.free_at, $2) + $3 <= $2 + $4 OR b.free_at > $2 + $4 + interval '1 hour' \
             RETURNING free_at",
        )
        .bind::<Binary, _>(&key)
        .bind::<Timestamptz, _>(now)
        .bind::<Interval, _>(every)
        .bind::<Interval, _>(max_debt)
        .get_result::<FreeAt>(conn)
        .optional()?;
        if let Some(FreeAt { free_at }) = spent {
            let is_last = free_at + every > now + max_debt;
            return Ok(Ok(if is_last { Spent::TheLast } else { Spent::MoreLeft }));
        }
        let free_at = budgets::table.find(key).select(budgets::free_at).first(conn).optional()?;
        let wait = free_at.unwrap_or(now) + every - max_debt - now;
        Ok(Err(wait.to_std().unwrap_or_default()))
    }

    /// Whether [`Budgets::take`] would refuse: for units that are spent only afterwards.
    pub fn is_used_up(
        &self,
        conn: &mut PgConnection,
        limit: RateLimit,
        subject: &str,
        now: DateTime<Utc>,
    ) -> QueryResult<bool> {
        let full_at = now + delta(limit.every * limit.burst.saturating_sub(1));
        let full = budgets::table.find(self.name(limit, subject)).filter(budgets::free_at.gt(full_at));
        diesel::select(diesel::dsl::exists(full)).get_result(conn)
    }

    /// Gives one unit back, because the action that it was spent for did not happen.
    pub fn refund(&self, conn: &mut PgConnection, limit: RateLimit, subject: &str) -> QueryResult<()> {
        if self.enabled {
            sql_query("UPDATE budgets SET free_at = free_at - $2 WHERE key = $1")
                .bind::<Binary, _>(self.name(limit, subject))
                .bind::<Interval, _>(delta(limit.every))
                .execute(conn)?;
        }
        Ok(())
    }

    /// Makes the whole budget available again.
    pub fn restore(&self, conn: &mut PgConnection, limit: RateLimit, subject: &str) -> QueryResult<()> {
        if !self.enabled {
            return Ok(());
        }
        diesel::delete(budgets::table.find(self.name(limit, subject))).execute(conn)?;
        Ok(())
    }

    /// Returns the name of a budget in the table: 128 bits of the HMAC, enough to avoid collisions.
    fn name(&self, limit: RateLimit, subject: &str) -> Vec<u8> {
        let text = [limit.name.as_bytes(), b"\0", subject.as_bytes()].concat();
        hmac::sign(&self.key, &text).as_ref()[..16].to_vec()
    }
}

fn delta(duration: Duration) -> TimeDelta {
    TimeDelta::from_std(duration).expect("limits are constants of days at most")
}

/// Deletes at most [`BATCH`] budgets that are fully available again. Returns true if there may be more.
pub fn prune(conn: &mut PgConnection, now: DateTime<Utc>) -> QueryResult<bool> {
    let whole: Vec<Vec<u8>> = budgets::table
        .filter(budgets::free_at.lt(now))
        .select(budgets::key)
        .order(budgets::key)
        .limit(BATCH)
        .for_update()
        .skip_locked()
        .load(conn)?;
    let count = diesel::delete(budgets::table.filter(budgets::key.eq_any(whole))).execute(conn)?;
    Ok(count >= usize::try_from(BATCH).expect("small"))
}
