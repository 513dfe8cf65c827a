//! The queue: workers as servers run them, with work of our own, on a real database.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use anyhow::anyhow;
use chrono::TimeDelta;
use diesel::{Connection, RunQueryDsl, connection::SimpleConnection, sql_query, sql_types};
use mintage::{
    clock::Clock,
    db::{Db, Follower},
    jobs::{self, Failure, Job, LEASE, Registry, Running, Wake, Worker},
    tasks::Tasks,
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::{
    sync::{Semaphore, oneshot},
    task::JoinHandle,
    time,
};
use uuid::Uuid;

use crate::support::{App, Database, eventually, noted};

const PATH: &str = "/api/v1/admin/jobs";

#[derive(Serialize, Deserialize)]
enum Work {
    Succeed(u32),
    FailUntil(i32),
    Panic,
    Refuse,
    /// Until the test lets one go on.
    Wait,
}

/// What the jobs of a test did.
struct Trace {
    begun: Mutex<Vec<(Uuid, i32)>>,
    ended: Mutex<Vec<(Uuid, i32)>>,
    gate: Semaphore,
}

impl Trace {
    fn begun(&self) -> Vec<(Uuid, i32)> {
        self.begun.lock().unwrap().clone()
    }

    fn ended(&self) -> Vec<(Uuid, i32)> {
        self.ended.lock().unwrap().clone()
    }
}

impl Job for Work {
    const KIND: &'static str = "work-of-a-test";
    type Context = Arc<Trace>;

    async fn run(self, running: Running, trace: &Arc<Trace>) -> Result<(), Failure> {
        let run = (running.id, running.attempt);
        trace.begun.lock().unwrap().push(run);
        match self {
            Self::FailUntil(attempt) if running.attempt < attempt => {
                return Err(anyhow!("attempt {} for ada@example.com", running.attempt).into());
            }
            Self::Succeed(_) | Self::FailUntil(_) => {}
            Self::Panic => panic!("as the test wants"),
            Self::Refuse => return Err(Failure::Permanent(anyhow!("never"))),
            Self::Wait => trace.gate.acquire().await.expect("open").forget(),
        }
        trace.ended.lock().unwrap().push(run);
        Ok(())
    }
}

/// A database, a clock, and what happened.
struct Queue<'a> {
    database: &'a Database,
    clock: Clock,
    trace: Arc<Trace>,
}

/// A worker as a server has it. Dropping it is a crash: what it runs is cut off.
struct Process {
    stop: Option<oneshot::Sender<()>>,
    task: JoinHandle<()>,
    _follower: Follower,
}

impl Process {
    /// As SIGTERM does it.
    async fn stop(mut self) {
        drop(self.stop.take());
        (&mut self.task).await.unwrap();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl<'a> Queue<'a> {
    fn new(database: &'a Database, clock: &Clock) -> Self {
        let trace = Trace { begun: Mutex::default(), ended: Mutex::default(), gate: Semaphore::new(0) };
        Self { database, clock: clock.clone(), trace: Arc::new(trace) }
    }

    fn worker(&self) -> Process {
        self.worker_of(Registry::default().register::<Work>(self.trace.clone()))
    }

    fn worker_of(&self, registry: Registry) -> Process {
        let url = self.database.url();
        let wake = Arc::new(Wake::default());
        let follower =
            Follower::start("follow", &url, &self.clock, vec![wake.clone()], &Tasks::default()).unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let worker = Worker::new(Db::new(&url, 4, &Tasks::default()), self.clock.clone(), registry, wake);
        let task = tokio::spawn(worker.run(async {
            let _ = stopped.await;
        }));
        Process { stop: Some(stop), task, _follower: follower }
    }

    fn enqueue(&self, work: &Work) -> Uuid {
        jobs::enqueue(&mut self.database.connect(), work, self.clock.now()).unwrap()
    }

    fn row(&self, id: Uuid) -> Option<noted::Job> {
        noted::job(&mut self.database.connect(), id)
    }

    fn state(&self, id: Uuid) -> Option<String> {
        self.row(id).map(|row| row.state)
    }

    async fn until_gone(&self, id: Uuid) {
        eventually("the end of the job", async || self.row(id).is_none()).await;
    }

    /// Until the lease is over, however often it was renewed, and another run has begun.
    async fn until_taken_over(&self, id: Uuid) {
        eventually("another run", async || {
            let noted::Job { attempts, due_at, .. } = self.row(id).unwrap();
            if attempts == 1 {
                self.clock.advance((due_at - self.clock.now()).to_std().unwrap_or_default());
            }
            self.trace.begun().contains(&(id, 2))
        })
        .await;
    }

    async fn until_begun(&self, runs: usize) {
        eventually("a run", async || self.trace.begun().len() >= runs).await;
    }

    async fn until_state(&self, id: Uuid, state: &str) {
        eventually(state, async || self.state(id).as_deref() == Some(state)).await;
    }
}

/// Long enough for a worker to look several times.
async fn a_while() {
    time::sleep(Duration::from_millis(2500)).await;
}

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
    // The wait after the next one is longer than any machine is slow.
    sql_query("UPDATE jobs SET attempts = 10").execute(&mut database.connect()).unwrap();
    let _worker = queue.worker();
    queue.until_begun(1).await;
    queue.until_state(id, "waiting").await;
    a_while().await;
    assert_eq!(queue.trace.begun().len(), 1);
}

#[tokio::test]
async fn a_panic_is_a_failed_run_and_the_worker_goes_on() {
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
    a_while().await;
    assert_eq!(queue.trace.begun().len(), 3);
}

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
    a_while().await;
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
    // As if it had been stopped for a while.
    queue.until_taken_over(id).await;
    queue.trace.gate.add_permits(1);
    eventually("the end of one run", async || queue.trace.ended().len() == 1).await;
    // Whoever waited first goes first.
    assert_eq!(queue.trace.ended(), [(id, 1)]);
    a_while().await;
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
    assert!(queue.row(id).unwrap().last_error.unwrap().contains("ended with its process"));
    assert!(queue.trace.begun().is_empty());
}

#[tokio::test]
async fn a_worker_that_is_told_to_stop_finishes_what_runs_and_takes_nothing_new() {
    let database = Database::create();
    let queue = Queue::new(&database, &Clock::default());
    let worker = queue.worker();
    let running = queue.enqueue(&Work::Wait);
    queue.until_begun(1).await;
    let stopping = tokio::spawn(worker.stop());
    a_while().await;
    let late = queue.enqueue(&Work::Succeed(1));
    a_while().await;
    assert!(!stopping.is_finished());
    queue.trace.gate.add_permits(1);
    stopping.await.unwrap();
    assert_eq!((queue.row(running).is_none(), queue.state(late).unwrap()), (true, "waiting".into()));
    let _next = queue.worker();
    queue.until_gone(late).await;
}

#[tokio::test]
async fn each_slot_of_a_schedule_is_enqueued_once_by_any_number_of_workers() {
    let database = Database::create();
    let queue = Queue::new(&database, &Clock::default());
    let hour = Duration::from_hours(1);
    // To the start of a slot, so that none begins by itself.
    let to_slot = 3600 - queue.clock.now().timestamp().rem_euclid(3600);
    queue.clock.advance(Duration::from_secs(to_slot.unsigned_abs()));
    let start = |_| {
        let registry = Registry::default().register::<Work>(queue.trace.clone());
        queue.worker_of(registry.every(hour, "hourly", &Work::Succeed(0)))
    };
    let workers: Vec<_> = (0..3).map(start).collect();
    for slots in 1..=3 {
        queue.until_begun(slots).await;
        a_while().await;
        assert_eq!(queue.trace.begun().len(), slots);
        queue.clock.advance(hour);
    }
    drop(workers);
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

#[track_caller]
fn find(page: &Value, id: Uuid) -> &Value {
    let jobs = page["data"].as_array().unwrap();
    jobs.iter().find(|job| job["id"] == json!(id)).unwrap_or_else(|| panic!("{id} is not in {page}"))
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

#[tokio::test]
async fn admins_see_dead_jobs_without_their_payload_and_retry_them() {
    let app = App::start();
    let admin = app.admin().await;
    let queue = Queue::new(app.database(), &app.clock);
    let id = queue.enqueue(&Work::Refuse);
    a_while().await;
    assert_eq!(queue.state(id).unwrap(), "waiting", "servers leave kinds that they do not know");
    let waiting = admin.get(&format!("{PATH}?state=waiting")).await.assert(200).json();
    assert_eq!(find(&waiting, id)["attempts"], 0);

    let _worker = queue.worker();
    queue.until_state(id, "dead").await;
    let dead = admin.get(&format!("{PATH}?state=dead")).await.assert(200).json();
    let job = find(&dead, id);
    assert_eq!((&job["last_error"], &job["attempts"]), (&json!("never"), &json!(1)));
    assert!(job.get("payload").is_none() && dead["next_cursor"].is_null());

    let retried = admin.post_empty(&format!("{PATH}/{id}/retry")).await.assert(200).json();
    assert_eq!((&retried["state"], &retried["max_attempts"]), (&json!("waiting"), &json!(31)));
    queue.until_begun(2).await;
    queue.until_state(id, "dead").await;
    let absent = Uuid::now_v7();
    admin.post_empty(&format!("{PATH}/{absent}/retry")).await.assert_problem(404, "not-found");

    let busy = queue.enqueue(&Work::Wait);
    queue.until_begun(3).await;
    admin.post_empty(&format!("{PATH}/{busy}/retry")).await.assert_problem(409, "job-running");
    let running = admin.get(&format!("{PATH}?state=running")).await.assert(200).json();
    assert_eq!(find(&running, busy)["attempts"], 1);
    queue.trace.gate.add_permits(1);
}

#[tokio::test]
async fn jobs_are_paged_in_the_order_of_enqueueing() {
    let app = App::start();
    let admin = app.admin().await;
    let queue = Queue::new(app.database(), &app.clock);
    let ids: Vec<_> = (0..5).map(|n| json!(queue.enqueue(&Work::Succeed(n)))).collect();
    let (mut seen, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = admin.get(&format!("{PATH}?state=waiting&limit=2{cursor}")).await.assert(200).json();
        let found = page["data"].as_array().unwrap();
        assert!(found.len() <= 2);
        let ours = found.iter().filter(|job| job["kind"] == Work::KIND);
        seen.extend(ours.map(|job| job["id"].clone()));
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    assert_eq!(seen, ids);
    for query in ["limit=-1", "cursor=!", "state=done", "limit=1&limit=2", "kind=x"] {
        admin.get(&format!("{PATH}?{query}")).await.assert_problem(400, "malformed-query");
    }
    admin.get(&format!("{PATH}?limit=101")).await.assert_invalid("/limit", "range");
    admin.post_empty(&format!("{PATH}/7/retry")).await.assert_problem(400, "malformed-path");
}

#[tokio::test]
async fn jobs_that_have_been_dead_for_30_days_are_removed() {
    let app = App::start();
    let queue = Queue::new(app.database(), &app.clock);
    let (old, new) = (queue.enqueue(&Work::Refuse), queue.enqueue(&Work::Refuse));
    let bury = |id: Uuid, days: i64| {
        sql_query("UPDATE jobs SET state = 'dead', due_at = $2 WHERE id = $1")
            .bind::<sql_types::Uuid, _>(id)
            .bind::<sql_types::Timestamptz, _>(app.clock.now() - TimeDelta::days(days))
            .execute(&mut app.sql())
            .unwrap();
    };
    bury(old, 31);
    bury(new, 29);
    app.clock.advance(Duration::from_hours(1));
    queue.until_gone(old).await;
    assert_eq!(queue.state(new).unwrap(), "dead");
}
