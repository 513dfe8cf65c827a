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

/// Jobs that run at the same time, of each server.
const AT_ONCE: usize = 8;
/// How often due jobs are looked for; new ones are heard of at once.
const POLL: Duration = Duration::from_secs(1);
/// After an outage of the database the wake-up comes earlier.
const POLL_IN_OUTAGE: Duration = Duration::from_secs(5);
/// A run that takes longer has failed.
const LONGEST_RUN: Duration = Duration::from_mins(3);
/// How long a job belongs to the run that claimed it or renewed the claim.
pub const LEASE: TimeDelta = TimeDelta::seconds(30);
const RENEW: Duration = Duration::from_secs(10);
/// How long runs may go on when the server stops.
const FINISH: Duration = Duration::from_secs(30);
const FIRST_WAIT: Duration = Duration::from_secs(10);
const LONGEST_WAIT: Duration = Duration::from_hours(1);
/// How often jobs are looked for that a wrong clock has put off.
const RECOVER: Duration = Duration::from_secs(10);
/// A result that the database does not take is offered again, since else the job runs twice.
const RECORD_TRIES: u32 = 5;

/// Hears of new jobs.
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

/// Runs jobs, one worker a server.
pub struct Worker {
    db: Db,
    clock: Clock,
    registry: Registry,
    wake: Arc<Wake>,
    recovered_at: Option<Instant>,
}

impl Worker {
    #[must_use]
    pub fn new(db: Db, clock: Clock, registry: Registry, wake: Arc<Wake>) -> Self {
        Self { db, clock, registry, wake, recovered_at: None }
    }

    /// Works until `stop` completes, then lets what runs finish, for up to 30 seconds. What is
    /// cut off then is repeated when its lease is over.
    pub async fn run(mut self, stop: impl Future<Output = ()>) {
        let mut stop = std::pin::pin!(stop);
        let mut runs = JoinSet::new();
        let mut pause = Duration::ZERO;
        loop {
            tokio::select! {
                biased;
                () = &mut stop => break,
                Some(_) = runs.join_next() => {}
                () = self.wake.0.notified(), if runs.len() < AT_ONCE => {}
                () = time::sleep(pause) => {}
            }
            pause = match self.look(&mut runs).await {
                Ok(()) => POLL,
                Err(error) => {
                    tracing::warn!(%error, "jobs have to wait");
                    POLL_IN_OUTAGE
                }
            };
        }
        let finished = time::timeout(FINISH, async { while runs.join_next().await.is_some() {} }).await;
        if finished.is_err() {
            tracing::warn!(count = runs.len(), "jobs were cut off; they are repeated later");
        }
    }

    /// Begins what is due, as far as there is room.
    async fn look(&mut self, runs: &mut JoinSet<()>) -> Result<(), DbError> {
        let now = self.clock.now();
        for schedule in &mut self.registry.schedules {
            schedule.attend(&self.db, now).await?;
        }
        if self.recovered_at.is_none_or(|at| at.elapsed() >= RECOVER) {
            let recover = move |conn: &mut _| store::recover(conn, now, longest_back_off(), LEASE);
            let count = self.db.query_tx(recover).await?;
            if count > 0 {
                tracing::warn!(count, "jobs were put off by a clock that was ahead: they are due now");
            }
            self.recovered_at = Some(Instant::now());
        }
        let room = i64::try_from(AT_ONCE - runs.len()).expect("a small number");
        if room > 0 {
            let kinds = self.registry.kinds();
            let claim = move |conn: &mut _| store::claim(conn, &kinds, room, now, now + LEASE);
            for job in self.db.query_tx(claim).await? {
                runs.spawn(attend(self.db.clone(), self.clock.clone(), self.registry.clone(), job));
            }
        }
        Ok(())
    }
}

/// One run, and what becomes of the job.
async fn attend(db: Db, clock: Clock, registry: Registry, job: Claimed) {
    let attempt_in_turn = job.attempts + MAX_ATTEMPTS - job.max_attempts;
    let running = Running { id: job.id, attempt: job.attempts, attempt_in_turn, now: clock.now() };
    let last = job.attempts >= job.max_attempts;
    let kind = job.kind.clone();
    let result = if job.attempts > job.max_attempts {
        // Its last run never ended: it may be what kills the process.
        Err(Failure::Permanent(anyhow!("its last run vanished with its process, or lost the database")))
    } else {
        tokio::select! {
            result = run(&registry, job, running) => result,
            () = hold_lease(&db, &clock, running) => {
                tracing::warn!(id = %running.id, kind, "another run of a job has begun: this one is cut off");
                return;
            }
        }
    };
    let now = clock.now();
    let recorded = match result {
        Ok(()) => {
            tracing::debug!(id = %running.id, kind, "job done");
            record(&db, move |conn| store::finish(conn, running)).await
        }
        Err(failure) => {
            let error = failure.to_string();
            let retry = matches!(failure, Failure::Retry(_)) && !last;
            let retry_at = retry.then(|| now + back_off(running.attempt_in_turn, fastrand::f64()));
            if let Some(at) = retry_at {
                tracing::warn!(id = %running.id, kind, error, retry_at = at.to_rfc3339(), "a job failed");
            } else {
                tracing::error!(id = %running.id, kind, error, "a job is dead");
            }
            record(&db, move |conn| store::fail(conn, running, retry_at, &error, now)).await
        }
    };
    match recorded {
        Ok(true) => {}
        Ok(false) => {
            tracing::warn!(id = %running.id, "another run of a job has begun: this one does not count");
        }
        Err(error) => tracing::warn!(id = %running.id, %error, "the end of a job was not written"),
    }
}

async fn run(registry: &Registry, job: Claimed, running: Running) -> Result<(), Failure> {
    let run = AssertUnwindSafe(registry.run(&job.kind, job.payload, running)).catch_unwind();
    match time::timeout(LONGEST_RUN, run).await {
        Ok(Ok(result)) => result,
        // The panic's text is in the log, and may hold anything.
        Ok(Err(_)) => Err(anyhow!("it panicked").into()),
        Err(_) => Err(anyhow!("it took longer than {} s", LONGEST_RUN.as_secs()).into()),
    }
}

/// Renews the lease as long as it is there.
async fn hold_lease(db: &Db, clock: &Clock, running: Running) {
    loop {
        time::sleep(RENEW).await;
        let until = clock.now() + LEASE;
        match db.query(move |conn| store::renew(conn, running, until)).await {
            Ok(true) => {}
            Ok(false) => return,
            Err(error) => tracing::warn!(id = %running.id, %error, "the lease of a job was not renewed"),
        }
    }
}

/// Writes the end of a run down; the fencing makes it harmless to try again.
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

/// Doubles from 10 s to an hour, plus up to a quarter so that jobs that failed together do not
/// come back together.
fn back_off(attempt: i32, random: f64) -> TimeDelta {
    let doublings = (attempt - 1).clamp(0, 12).unsigned_abs();
    let wait = (FIRST_WAIT * 2u32.pow(doublings)).min(LONGEST_WAIT);
    TimeDelta::from_std(wait.mul_f64(1.0 + random / 4.0)).unwrap_or(TimeDelta::hours(1))
}

fn longest_back_off() -> TimeDelta {
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
