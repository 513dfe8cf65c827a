//! Claims jobs, runs them and records the results.

use std::{
    panic::AssertUnwindSafe,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::anyhow;
use chrono::TimeDelta;
use diesel::{PgConnection, QueryResult};
use futures_util::FutureExt;
use tokio::{sync::Notify, task::JoinSet, time};

use super::{
    Failure, Registry, Running,
    store::{self, CHANNEL, Claimed, MAX_ATTEMPTS},
};
use crate::{
    clock::Clock,
    db::{Change, Db, DbError, Follow},
};

/// Jobs that a server runs at the same time.
const MAX_RUNNING: usize = 8;
/// How often due jobs are queried; a notification announces new ones.
const POLL: Duration = Duration::from_secs(1);
/// When the database is available again, a notification ends the wait.
const POLL_IN_OUTAGE: Duration = Duration::from_secs(5);
/// A run that takes longer has failed.
const MAX_RUN: Duration = Duration::from_mins(3);
/// How long a job belongs to a run after it was claimed or its lease renewed.
pub const LEASE: TimeDelta = TimeDelta::seconds(30);
const RENEW: Duration = Duration::from_secs(10);
/// Time for running jobs when the server stops.
const FINISH: Duration = Duration::from_secs(30);
const FIRST_WAIT: Duration = Duration::from_secs(10);
const MAX_WAIT: Duration = Duration::from_hours(1);
/// How often jobs are queried that a wrong clock has postponed.
const RECOVER: Duration = Duration::from_secs(10);
/// Recording a result is repeated, since otherwise the job runs twice.
const RECORD_TRIES: u32 = 5;

/// Wakes the worker when a job was enqueued.
#[derive(Default)]
pub struct Wake(Notify);

impl Follow for Wake {
    fn channel(&self) -> &'static str {
        CHANNEL
    }

    fn load(&self, _: &mut PgConnection) -> QueryResult<Change<'_>> {
        Ok(Box::new(|| self.0.notify_one()))
    }

    fn notified(&self, conn: &mut PgConnection, _: &str) -> QueryResult<Change<'_>> {
        self.load(conn)
    }
}

/// Runs jobs; each server has one.
pub struct Worker {
    db: Db,
    clock: Clock,
    registry: Registry,
    wake: Arc<Wake>,
    recovered_at: Option<Instant>,
}

impl Worker {
    pub fn new(db: Db, clock: Clock, registry: Registry, wake: Arc<Wake>) -> Self {
        Self { db, clock, registry, wake, recovered_at: None }
    }

    /// Runs jobs until `stop` completes, then waits up to 30 seconds for the running ones. A job that is cut off is
    /// repeated when its lease ends.
    pub async fn run(mut self, stop: impl Future<Output = ()>) {
        let mut stop = std::pin::pin!(stop);
        let mut runs = JoinSet::new();
        let mut pause = Duration::ZERO;
        loop {
            tokio::select! {
                biased;
                () = &mut stop => break,
                Some(_) = runs.join_next() => {}
                () = self.wake.0.notified(), if runs.len() < MAX_RUNNING => {}
                () = time::sleep(pause) => {}
            }
            pause = match self.start_due(&mut runs).await {
                Ok(()) => POLL,
                Err(error) => {
                    tracing::warn!(%error, "cannot read due jobs; retrying");
                    POLL_IN_OUTAGE
                }
            };
        }
        let finished = time::timeout(FINISH, async { while runs.join_next().await.is_some() {} }).await;
        if finished.is_err() {
            tracing::warn!(count = runs.len(), "cut off running jobs; they are repeated later");
        }
    }

    /// Starts due jobs, up to [`MAX_RUNNING`].
    async fn start_due(&mut self, runs: &mut JoinSet<()>) -> Result<(), DbError> {
        let now = self.clock.now();
        for schedule in &mut self.registry.schedules {
            schedule.tick(&self.db, now).await?;
        }
        if self.recovered_at.is_none_or(|at| at.elapsed() >= RECOVER) {
            let recover = move |conn: &mut _| store::recover(conn, now, max_back_off(), LEASE);
            let count = self.db.query_tx(recover).await?;
            if count > 0 {
                tracing::warn!(count, "jobs postponed by a clock that was ahead are due now");
            }
            self.recovered_at = Some(Instant::now());
        }
        let room = i64::try_from(MAX_RUNNING - runs.len()).expect("a small number");
        if room > 0 {
            let kinds = self.registry.kinds();
            let claim = move |conn: &mut _| store::claim(conn, &kinds, room, now, now + LEASE);
            for job in self.db.query_tx(claim).await? {
                runs.spawn(run_and_record(self.db.clone(), self.clock.clone(), self.registry.clone(), job));
            }
        }
        Ok(())
    }
}

/// Runs a job and records the result.
async fn run_and_record(db: Db, clock: Clock, registry: Registry, job: Claimed) {
    let attempt_in_turn = job.attempts + MAX_ATTEMPTS - job.max_attempts;
    let running = Running { id: job.id, attempt: job.attempts, attempt_in_turn, now: clock.now() };
    let last = job.attempts >= job.max_attempts;
    let kind = job.kind.clone();
    let result = if job.attempts > job.max_attempts {
        // The last attempt never ended: the job itself may crash the process.
        Err(Failure::Permanent(anyhow!("the last attempt ended with its process, or lost the database")))
    } else {
        tokio::select! {
            result = run(&registry, job, running) => result,
            () = hold_lease(&db, &clock, running) => {
                tracing::warn!(id = %running.id, kind, "lost the lease of a job to another run; cut off this one");
                return;
            }
        }
    };
    let now = clock.now();
    let recorded = match result {
        Ok(()) => {
            tracing::debug!(id = %running.id, kind, "job completed");
            record(&db, move |conn| store::finish(conn, running)).await
        }
        Err(failure) => {
            let error = failure.to_string();
            let retry = matches!(failure, Failure::Retry(_)) && !last;
            let retry_at = retry.then(|| now + back_off(running.attempt_in_turn, fastrand::f64()));
            if let Some(at) = retry_at {
                tracing::warn!(id = %running.id, kind, error, retry_at = at.to_rfc3339(), "job failed");
            } else {
                tracing::error!(id = %running.id, kind, error, "job failed permanently");
            }
            record(&db, move |conn| store::fail(conn, running, retry_at, &error, now)).await
        }
    };
    match recorded {
        Ok(true) => {}
        Ok(false) => {
            tracing::warn!(id = %running.id, "lost the lease of a job to another run; the result of this one is ignored");
        }
        Err(error) => tracing::warn!(id = %running.id, %error, "cannot record the result of a job"),
    }
}

async fn run(registry: &Registry, job: Claimed, running: Running) -> Result<(), Failure> {
    let run = AssertUnwindSafe(registry.run(&job.kind, job.payload, running)).catch_unwind();
    match time::timeout(MAX_RUN, run).await {
        Ok(Ok(result)) => result,
        // The log has the text of the panic, which may contain secrets.
        Ok(Err(_)) => Err(anyhow!("the job panicked").into()),
        Err(_) => Err(anyhow!("the job took longer than {} s", MAX_RUN.as_secs()).into()),
    }
}

/// Renews the lease; completes when it is lost.
async fn hold_lease(db: &Db, clock: &Clock, running: Running) {
    loop {
        time::sleep(RENEW).await;
        let until = clock.now() + LEASE;
        match db.query(move |conn| store::renew(conn, running, until)).await {
            Ok(true) => {}
            Ok(false) => return,
            Err(error) => tracing::warn!(id = %running.id, %error, "cannot renew the lease of a job"),
        }
    }
}

/// Records the result of a run. Repeating it is safe, since the attempt's number is a fencing token.
async fn record(
    db: &Db,
    write: impl Fn(&mut PgConnection) -> QueryResult<bool> + Clone + Send + 'static,
) -> Result<bool, DbError> {
    let mut tried = 1;
    loop {
        match db.query(write.clone()).await {
            Err(_) if tried < RECORD_TRIES => tried += 1,
            result => return result,
        }
        time::sleep(POLL).await;
    }
}

/// Doubles from 10 s to an hour, plus up to a quarter at random (0 to 1), so that jobs which failed together are not
/// repeated together.
fn back_off(attempt: i32, random: f64) -> TimeDelta {
    let doublings = (attempt - 1).clamp(0, 12).unsigned_abs();
    let wait = (FIRST_WAIT * 2u32.pow(doublings)).min(MAX_WAIT);
    TimeDelta::from_std(wait.mul_f64(1.0 + random / 4.0)).unwrap_or(TimeDelta::hours(1))
}

fn max_back_off() -> TimeDelta {
    back_off(i32::MAX, 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_an_hour() {
        let waits: Vec<_> = [1, 2, 3, 9, 10, 30].map(|attempt| back_off(attempt, 0.0).num_seconds()).into();
        assert_eq!(waits, [10, 20, 40, 2560, 3600, 3600]);
        assert_eq!(back_off(1, 1.0), TimeDelta::milliseconds(12_500));
    }
}
