//! When jobs run: once each, at their time, until they succeed or are dead.

use std::time::Duration;

use chrono::TimeDelta;
use diesel::{Connection, RunQueryDsl, connection::SimpleConnection, sql_query};
use mintage::{
    clock::Clock,
    jobs::{self, Registry},
};
use uuid::Uuid;

use crate::support::{
    Database, eventually,
    queue::{Queue, Work},
};

#[tokio::test]
async fn a_job_exists_only_if_its_transaction_commits() {
    let database = Database::create();
    let queue = Queue::new(&database, &Clock::default());
    let _worker = queue.worker();
    let rolled_back: Result<(), diesel::result::Error> = database.connect().transaction(|conn| {
        jobs::enqueue(conn, &Work::Succeed(1), queue.clock.now())?;
        Err(diesel::result::Error::RollbackTransaction)
    });
    rolled_back.unwrap_err();
    let id = queue.enqueue(&Work::Succeed(2));
    queue.until_gone(id).await;
    assert_eq!(queue.trace.ended(), [(id, 1)]);
}

#[tokio::test]
async fn many_workers_run_each_job_once() {
    let database = Database::create();
    let queue = Queue::new(&database, &Clock::default());
    let workers = [queue.worker(), queue.worker(), queue.worker()];
    let mut ids: Vec<_> = (0..60).map(|n| queue.enqueue(&Work::Succeed(n))).collect();
    for id in &ids {
        queue.until_gone(*id).await;
    }
    let mut ran: Vec<_> = queue.trace.begun().into_iter().map(|(id, _)| id).collect();
    ids.sort_unstable();
    ran.sort_unstable();
    assert_eq!(ran, ids);
    drop(workers);
}

#[tokio::test]
async fn a_failed_run_is_repeated_after_growing_waits_by_the_clock() {
    let database = Database::create();
    let queue = Queue::new(&database, &Clock::default());
    let _worker = queue.worker();
    let mut before = queue.clock.now();
    let id = queue.enqueue(&Work::FailUntil(4));
    for (attempt, wait) in [(1, 10), (2, 20), (3, 40)] {
        eventually("a failure", async || {
            queue.row(id).is_some_and(|row| row.state == "waiting" && row.attempts == attempt)
        })
        .await;
        let row = queue.row(id).unwrap();
        let (now, wait) = (queue.clock.now(), TimeDelta::seconds(wait));
        assert!(row.due_at >= before + wait && row.due_at <= now + wait * 5 / 4, "{row:?} at {now}");
        assert_eq!(row.last_error.unwrap(), format!("attempt {attempt} for [address]"));
        // The next run begins then or later.
        before = row.due_at;
        queue.clock.advance((wait * 5 / 4).to_std().unwrap());
    }
    queue.until_gone(id).await;
    assert_eq!(queue.trace.begun(), [(id, 1), (id, 2), (id, 3), (id, 4)]);
}

#[tokio::test]
async fn a_failed_run_is_not_repeated_before_its_time() {
    let database = Database::create();
    let queue = Queue::new(&database, &Clock::default());
    let id = queue.enqueue(&Work::FailUntil(i32::MAX));
    // After so many attempts the wait is an hour, longer than any machine is slow.
    sql_query("UPDATE jobs SET attempts = 10").execute(&mut database.connect()).unwrap();
    let _worker = queue.worker();
    queue.until_begun(1).await;
    queue.until_state(id, "waiting").await;
    queue.until_a_look().await;
    assert_eq!(queue.trace.begun().len(), 1);
}

#[tokio::test]
async fn a_panic_fails_the_run_and_the_worker_continues() {
    let database = Database::create();
    let queue = Queue::new(&database, &Clock::default());
    let _worker = queue.worker();
    let id = queue.enqueue(&Work::Panic);
    eventually("the failure", async || queue.row(id).unwrap().last_error.is_some()).await;
    assert_eq!(queue.row(id).unwrap().last_error.unwrap(), "the job panicked");
    queue.until_gone(queue.enqueue(&Work::Succeed(1))).await;
}

#[tokio::test]
async fn a_job_that_keeps_failing_is_dead_in_the_end() {
    let database = Database::create();
    let queue = Queue::new(&database, &Clock::default());
    let id = queue.enqueue(&Work::FailUntil(i32::MAX));
    sql_query("UPDATE jobs SET attempts = 27").execute(&mut database.connect()).unwrap();
    let _worker = queue.worker();
    let mut waits = 0;
    while queue.state(id).unwrap() != "dead" {
        waits += 1;
        queue.until_begun(waits).await;
        eventually("the end of the run", async || queue.state(id).unwrap() != "running").await;
        queue.clock.advance(Duration::from_hours(2));
    }
    assert_eq!(queue.row(id).unwrap().attempts, 30);
    queue.until_a_look().await;
    assert_eq!(queue.trace.begun().len(), 3);
}

#[tokio::test]
async fn each_slot_of_a_schedule_is_enqueued_once_by_any_number_of_workers() {
    let database = Database::create();
    let queue = Queue::new(&database, &Clock::default());
    let hour = Duration::from_hours(1);
    // Begins at the start of a slot, so that the next one begins only when the clock is moved.
    let to_slot = 3600 - queue.clock.now().timestamp().rem_euclid(3600);
    queue.clock.advance(Duration::from_secs(to_slot.unsigned_abs()));
    let start = |_| {
        let registry = Registry::default().register::<Work>(queue.trace.clone());
        queue.worker_of(registry.every(hour, "hourly", &Work::Succeed(0)))
    };
    let workers: Vec<_> = (0..3).map(start).collect();
    let tries = || database.statements_with("INSERT INTO \"job_schedules\"");
    for slots in 1..=3 {
        if slots > 1 {
            queue.clock.advance(hour);
        }
        // More if one found the database busy and has tried again.
        eventually("a try of every worker", async || tries() >= 3 * slots).await;
        queue.until_begun(slots).await;
    }
    for worker in workers {
        worker.stop().await;
    }
    // A job that was enqueued too often has run as well, or is still in the table.
    assert_eq!((queue.trace.begun().len(), database.count("SELECT count(*) FROM jobs")), (3, 0));
}

#[tokio::test]
async fn jobs_of_a_clock_that_was_an_hour_ahead_run_now() {
    let database = Database::create();
    let queue = Queue::new(&database, &Clock::default());
    let ahead = queue.clock.now() + TimeDelta::hours(1);
    let enqueue = |work| jobs::enqueue(&mut database.connect(), &work, ahead).unwrap();
    let untried = enqueue(Work::Succeed(1));
    let [failed, put_off, leased] = [2, 3, 4].map(|n| enqueue(Work::Succeed(n)));
    let change = |id: Uuid, assignment: &str| {
        let update =
            format!("UPDATE jobs SET created_at = now(), attempts = 1, {assignment} WHERE id = '{id}'");
        database.connect().batch_execute(&update).unwrap();
    };
    change(failed, "last_error = 'x', last_error_at = now() + interval '1 hour'");
    change(put_off, "due_at = now() + interval '1 day'");
    change(leased, "state = 'running', due_at = now() + interval '1 hour 30 seconds'");
    let _worker = queue.worker();
    for id in [untried, failed, put_off] {
        queue.until_gone(id).await;
    }
    eventually("a lease of half a minute", async || {
        queue.row(leased).is_some_and(|row| row.due_at <= queue.clock.now() + TimeDelta::seconds(30))
    })
    .await;
    queue.clock.advance(Duration::from_secs(31));
    queue.until_gone(leased).await;
}

#[tokio::test]
async fn waits_of_the_usual_length_are_not_shortened() {
    let database = Database::create();
    let queue = Queue::new(&database, &Clock::default());
    let later = queue.enqueue(&Work::Succeed(1));
    let update = format!(
        "UPDATE jobs SET attempts = 9, last_error = 'x', last_error_at = now(), \
         due_at = now() + interval '74 minutes' WHERE id = '{later}'"
    );
    database.connect().batch_execute(&update).unwrap();
    let soon =
        jobs::enqueue(&mut database.connect(), &Work::Succeed(2), queue.clock.now() + TimeDelta::seconds(20));
    let _worker = queue.worker();
    let first = queue.enqueue(&Work::Succeed(3));
    queue.until_gone(first).await;
    assert_eq!(queue.trace.begun(), [(first, 1)]);
    assert!(queue.row(later).is_some() && queue.row(soon.unwrap()).is_some());
}
