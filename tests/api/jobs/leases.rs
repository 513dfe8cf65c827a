//! A run holds a lease: what becomes of jobs whose run or process ends badly.

use std::sync::Arc;

use diesel::{RunQueryDsl, sql_query};
use mintage::{clock::Clock, jobs::LEASE};

use crate::support::{
    Database, eventually,
    queue::{Queue, Work},
};

#[tokio::test]
async fn a_run_that_died_with_its_process_is_repeated_when_its_lease_is_over() {
    let database = Database::create();
    let queue = Queue::new(&database, &Clock::default());
    let crashing = queue.worker();
    let id = queue.enqueue(&Work::Wait);
    queue.until_begun(1).await;
    drop(crashing);
    eventually("the end of the process", async || Arc::strong_count(&queue.trace) == 1).await;

    let _other = queue.worker();
    queue.trace.gate.add_permits(2);
    queue.until_a_look().await;
    assert_eq!(queue.trace.begun(), [(id, 1)], "the lease still runs");
    queue.clock.advance(LEASE.to_std().unwrap());
    queue.until_gone(id).await;
    assert_eq!(queue.trace.ended(), [(id, 2)]);
}

#[tokio::test]
async fn a_run_that_lost_its_lease_cannot_end_the_job() {
    let database = Database::create();
    let queue = Queue::new(&database, &Clock::default());
    let _workers = [queue.worker(), queue.worker()];
    let id = queue.enqueue(&Work::Wait);
    queue.until_begun(1).await;
    // As if its process had been suspended for a while.
    queue.until_taken_over(id).await;
    queue.trace.gate.add_permits(1);
    eventually("the end of one run", async || queue.trace.ended().len() == 1).await;
    // The semaphore is fair: the first run gets the first permit.
    assert_eq!(queue.trace.ended(), [(id, 1)]);
    eventually("its try to end the job", async || database.statements_with("DELETE FROM \"jobs\"") > 0).await;
    assert_eq!(queue.row(id).map(|row| (row.state, row.attempts)), Some(("running".into(), 2)));
    queue.trace.gate.add_permits(1);
    queue.until_gone(id).await;
}

#[tokio::test]
async fn a_run_that_takes_long_keeps_its_lease_and_is_cut_off_when_it_lost_it() {
    let database = Database::create();
    let queue = Queue::new(&database, &Clock::default());
    let _worker = queue.worker();
    let id = queue.enqueue(&Work::Wait);
    queue.until_begun(1).await;
    let first = queue.row(id).unwrap().due_at;
    eventually("a renewal", async || queue.row(id).unwrap().due_at > first).await;
    let waiting = Arc::strong_count(&queue.trace);
    // As if another server had claimed it, which then crashed.
    let stolen = "UPDATE jobs SET attempts = 2";
    sql_query(stolen).execute(&mut database.connect()).unwrap();
    eventually("the end of the first run", async || Arc::strong_count(&queue.trace) < waiting).await;
    queue.clock.advance(LEASE.to_std().unwrap());
    queue.until_begun(2).await;
    queue.trace.gate.add_permits(1);
    queue.until_gone(id).await;
    assert_eq!(queue.trace.ended(), [(id, 3)]);
}

#[tokio::test]
async fn a_job_that_kills_its_process_each_time_is_dead_in_the_end() {
    let database = Database::create();
    let queue = Queue::new(&database, &Clock::default());
    let id = queue.enqueue(&Work::Succeed(1));
    let crashed = "UPDATE jobs SET state = 'running', attempts = max_attempts, due_at = now()";
    sql_query(crashed).execute(&mut database.connect()).unwrap();
    let _worker = queue.worker();
    queue.until_state(id, "dead").await;
    assert!(queue.row(id).unwrap().last_error.unwrap().contains("vanished"));
    assert!(queue.trace.begun().is_empty());
}

#[tokio::test]
async fn a_stopping_worker_finishes_its_runs_and_takes_no_new_job() {
    let database = Database::create();
    let queue = Queue::new(&database, &Clock::default());
    let worker = queue.worker();
    let running = queue.enqueue(&Work::Wait);
    queue.until_begun(1).await;
    let other = queue.worker_of_markers();
    let stopping = tokio::spawn(worker.stop());
    queue.until_a_look().await;
    let late = queue.enqueue(&Work::Succeed(1));
    // Both workers are notified of new jobs at the same time.
    queue.until_a_look().await;
    assert!(!stopping.is_finished());
    queue.trace.gate.add_permits(1);
    stopping.await.unwrap();
    assert_eq!((queue.row(running).is_none(), queue.state(late).unwrap()), (true, "waiting".into()));
    drop(other);
    let _next = queue.worker();
    queue.until_gone(late).await;
}

#[tokio::test]
async fn during_an_outage_of_the_database_jobs_wait_and_a_result_is_not_lost() {
    let database = Database::create();
    let queue = Queue::new(&database, &Clock::default());
    let _worker = queue.worker();
    let id = queue.enqueue(&Work::Wait);
    queue.until_begun(1).await;
    database.go_away();
    queue.trace.gate.add_permits(1);
    eventually("the end of the run", async || queue.trace.ended().len() == 1).await;
    database.come_back();
    queue.until_gone(id).await;
    queue.until_gone(queue.enqueue(&Work::Succeed(1))).await;
    assert_eq!(queue.trace.begun().len(), 2, "nothing ran twice");
}
