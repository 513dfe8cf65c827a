//! A queue of jobs: workers as servers run them, with work of the test's own, on a real database.

use std::sync::{Arc, Mutex};

use anyhow::anyhow;
use mintage::{
    clock::Clock,
    db::{Db, Follower},
    jobs::{self, Failure, Job, Registry, Running, Wake, Worker},
    tasks::Tasks,
};
use serde::{Deserialize, Serialize};
use tokio::{
    sync::{Semaphore, oneshot},
    task::JoinHandle,
};
use uuid::Uuid;

use super::{Database, eventually, noted};

#[derive(Serialize, Deserialize)]
pub enum Work {
    Succeed(u32),
    FailUntil(i32),
    Panic,
    Refuse,
    /// Runs until there is a permit at the gate.
    Wait,
}

/// Does nothing, and leaves no trace.
#[derive(Serialize, Deserialize)]
struct Marker;

impl Job for Marker {
    const KIND: &'static str = "marker-of-a-test";
    type Context = ();

    async fn run(self, _: Running, (): &()) -> Result<(), Failure> {
        Ok(())
    }
}

/// What the jobs of a test did.
pub struct Trace {
    begun: Mutex<Vec<(Uuid, i32)>>,
    ended: Mutex<Vec<(Uuid, i32)>>,
    pub gate: Semaphore,
}

impl Trace {
    pub fn begun(&self) -> Vec<(Uuid, i32)> {
        self.begun.lock().unwrap().clone()
    }

    pub fn ended(&self) -> Vec<(Uuid, i32)> {
        self.ended.lock().unwrap().clone()
    }
}

/// A database, a clock, and what happened.
pub struct Queue<'a> {
    pub database: &'a Database,
    pub clock: Clock,
    pub trace: Arc<Trace>,
}

impl<'a> Queue<'a> {
    pub fn new(database: &'a Database, clock: &Clock) -> Self {
        let trace = Trace { begun: Mutex::default(), ended: Mutex::default(), gate: Semaphore::new(0) };
        Self { database, clock: clock.clone(), trace: Arc::new(trace) }
    }

    pub fn worker(&self) -> Process {
        self.worker_of(Registry::default().register::<Work>(self.trace.clone()).register::<Marker>(()))
    }

    /// A worker that runs no jobs but those of [`Queue::until_a_look`].
    pub fn worker_of_markers(&self) -> Process {
        self.worker_of(Registry::default().register::<Marker>(()))
    }

    pub fn worker_of(&self, registry: Registry) -> Process {
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

    pub fn enqueue(&self, work: &Work) -> Uuid {
        jobs::enqueue(&mut self.database.connect(), work, self.clock.now()).unwrap()
    }

    pub fn row(&self, id: Uuid) -> Option<noted::Job> {
        noted::job(&mut self.database.connect(), id)
    }

    pub fn state(&self, id: Uuid) -> Option<String> {
        self.row(id).map(|row| row.state)
    }

    /// Waits until a worker has looked for due jobs, by enqueueing one that does nothing: a worker that takes it also takes what
    /// was due before. So a test can show that a job is not run.
    pub async fn until_a_look(&self) {
        let marker = jobs::enqueue(&mut self.database.connect(), &Marker, self.clock.now()).unwrap();
        self.until_gone(marker).await;
    }

    pub async fn until_gone(&self, id: Uuid) {
        eventually("the end of the job", async || self.row(id).is_none()).await;
    }

    /// Waits until the lease is over, however often it was renewed, and another run has begun.
    pub async fn until_taken_over(&self, id: Uuid) {
        eventually("another run", async || {
            let noted::Job { attempts, due_at, .. } = self.row(id).unwrap();
            if attempts == 1 {
                self.clock.advance((due_at - self.clock.now()).to_std().unwrap_or_default());
            }
            self.trace.begun().contains(&(id, 2))
        })
        .await;
    }

    pub async fn until_begun(&self, runs: usize) {
        eventually("a run", async || self.trace.begun().len() >= runs).await;
    }

    pub async fn until_state(&self, id: Uuid, state: &str) {
        eventually(state, async || self.state(id).as_deref() == Some(state)).await;
    }
}

/// A worker as a server runs it. Dropping it is a crash: its runs are cut off.
pub struct Process {
    stop: Option<oneshot::Sender<()>>,
    task: JoinHandle<()>,
    _follower: Follower,
}

impl Process {
    /// Stops it as SIGTERM does.
    pub async fn stop(mut self) {
        drop(self.stop.take());
        (&mut self.task).await.unwrap();
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
            Self::Panic => panic!("on purpose"),
            Self::Refuse => return Err(Failure::Permanent(anyhow!("never"))),
            Self::Wait => trace.gate.acquire().await.expect("open").forget(),
        }
        trace.ended.lock().unwrap().push(run);
        Ok(())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.task.abort();
    }
}
