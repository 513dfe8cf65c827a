//! Background tasks that are restarted after a panic.
//!
//! A panic is logged and counted, and the task is restarted after a pause. A task that keeps panicking makes the server
//! not ready, since otherwise it would serve requests with a stopped job queue or an outdated list of ended sessions.
//! Where a restart cannot help, the process ends.

use std::{
    io,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use futures_util::FutureExt;
use parking_lot::Mutex;
use tokio::{sync::watch, time};

use crate::telemetry::{Exposition, MetricType};

/// The first pause after a panic; it doubles with each panic that follows soon.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const MAX_PAUSE: Duration = Duration::from_secs(10);
/// A task that has run for this long is healthy, and its next panic counts as the first.
const STEADY_AFTER: Duration = Duration::from_secs(10);
/// A task that has been unhealthy for this long makes the server not ready.
const FAILING_AFTER: Duration = Duration::from_secs(30);

/// All background tasks of a server; cheap to clone.
#[derive(Clone, Default)]
pub struct Tasks(Arc<Shared>);

#[derive(Default)]
struct Shared {
    tasks: Mutex<Vec<Task>>,
    /// Why the process has to end.
    fatal: watch::Sender<Option<String>>,
}

impl Tasks {
    /// Runs the future that `begin` makes until it completes, and starts another one after a panic. It can be dropped at
    /// any point.
    pub async fn run<F: Future>(&self, name: &str, mut begin: impl FnMut() -> F) -> F::Output {
        let number = self.add(name);
        loop {
            match AssertUnwindSafe(async { begin().await }).catch_unwind().await {
                Ok(output) => return output,
                Err(_) => time::sleep(self.panicked(number)).await,
            }
            self.change(number, |task| task.begin(Instant::now()));
        }
    }

    /// As [`Tasks::run`], on a thread of this name.
    ///
    /// # Errors
    /// The thread cannot be started.
    pub fn thread(&self, name: &str, mut work: impl FnMut() + Send + 'static) -> io::Result<()> {
        let (tasks, number) = (self.clone(), self.add(name));
        thread::Builder::new().name(name.to_owned()).spawn(move || {
            while catch_unwind(AssertUnwindSafe(&mut work)).is_err() {
                thread::sleep(tasks.panicked(number));
                tasks.change(number, |task| task.begin(Instant::now()));
            }
        })?;
        Ok(())
    }

    /// The names of the tasks that have kept panicking for at least 30 seconds.
    pub fn failing(&self) -> Vec<String> {
        self.names(Task::is_failing)
    }

    /// The names of the tasks that have panicked and not run for 10 seconds since.
    pub fn unwell(&self) -> Vec<String> {
        self.names(|task, now| task.unhealthy_since.is_some() && !task.is_steady(now))
    }

    fn names(&self, select: impl Fn(&Task, Instant) -> bool) -> Vec<String> {
        let now = Instant::now();
        let tasks = self.0.tasks.lock();
        tasks.iter().filter(|task| select(task, now)).map(|task| task.name.clone()).collect()
    }

    pub fn write(&self, metrics: &mut Exposition) {
        let name = "mintage_task_restarts_total";
        let help = "Restarts of background tasks after a panic.";
        let family = metrics.family(name, MetricType::Counter, help);
        for task in &*self.0.tasks.lock() {
            family.sample(&[("task", &task.name)], task.restarts);
        }
    }

    /// Requests the end of the process, if only a new one can help; the first reason is kept.
    pub fn end_process(&self, reason: &str) {
        self.0.fatal.send_if_modified(|known| {
            let is_first = known.is_none();
            known.get_or_insert_with(|| reason.to_owned());
            is_first
        });
    }

    /// Completes with the reason once the process has to end.
    pub async fn fatal(&self) -> String {
        let mut fatal = self.0.fatal.subscribe();
        let reason = fatal.wait_for(Option::is_some).await.expect("the sender is in self");
        reason.clone().expect("just seen")
    }

    fn add(&self, name: &str) -> usize {
        let mut tasks = self.0.tasks.lock();
        tasks.push(Task::new(name, Instant::now()));
        tasks.len() - 1
    }

    /// Records a panic, and returns how long to pause.
    fn panicked(&self, number: usize) -> Duration {
        let (name, pause) = self.change(number, |task| (task.name.clone(), task.panicked(Instant::now())));
        tracing::error!(task = name, "a background task panicked and is restarted");
        pause
    }

    fn change<T>(&self, number: usize, change: impl FnOnce(&mut Task) -> T) -> T {
        change(&mut self.0.tasks.lock()[number])
    }
}

struct Task {
    name: String,
    /// When its current run began; None during a pause.
    began: Option<Instant>,
    next_pause: Duration,
    /// Its first panic since it was healthy.
    unhealthy_since: Option<Instant>,
    restarts: u64,
}

impl Task {
    fn new(name: &str, now: Instant) -> Self {
        let name = name.to_owned();
        Self { name, began: Some(now), next_pause: FIRST_PAUSE, unhealthy_since: None, restarts: 0 }
    }

    fn begin(&mut self, now: Instant) {
        self.began = Some(now);
    }

    fn panicked(&mut self, now: Instant) -> Duration {
        if self.is_steady(now) {
            (self.next_pause, self.unhealthy_since) = (FIRST_PAUSE, None);
        }
        self.unhealthy_since.get_or_insert(now);
        self.began = None;
        self.restarts += 1;
        let pause = self.next_pause;
        self.next_pause = (pause * 2).min(MAX_PAUSE);
        pause
    }

    fn is_steady(&self, now: Instant) -> bool {
        self.began.is_some_and(|began| now.saturating_duration_since(began) >= STEADY_AFTER)
    }

    fn is_failing(&self, now: Instant) -> bool {
        let unhealthy = self.unhealthy_since.map(|since| now.saturating_duration_since(since));
        unhealthy.is_some_and(|unhealthy| unhealthy >= FAILING_AFTER) && !self.is_steady(now)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{
        atomic::{AtomicU32, Ordering},
        mpsc,
    };

    use super::*;

    #[test]
    fn pauses_double_up_to_ten_seconds_and_are_short_again_after_a_healthy_run() {
        let mut now = Instant::now();
        let mut task = Task::new("x", now);
        let mut pauses = Vec::new();
        for _ in 0..9 {
            let pause = task.panicked(now);
            pauses.push(pause.as_millis());
            now += pause;
            task.begin(now);
        }
        assert_eq!(pauses, [100, 200, 400, 800, 1600, 3200, 6400, 10_000, 10_000]);
        assert_eq!(task.panicked(now + STEADY_AFTER), FIRST_PAUSE);
        assert_eq!(task.restarts, 10);
    }

    #[test]
    fn only_a_task_that_keeps_panicking_for_30_seconds_is_failing() {
        let start = Instant::now();
        let mut task = Task::new("x", start);
        let mut now = start;
        while now < start + FAILING_AFTER {
            assert!(!task.is_failing(now));
            now += task.panicked(now);
            task.begin(now);
        }
        assert!(task.is_failing(now), "also in the first seconds after a restart");
        assert!(!task.is_failing(now + STEADY_AFTER), "it is healthy again");

        let mut once = Task::new("x", start);
        let begins = start + once.panicked(start);
        once.begin(begins);
        assert!(!once.is_failing(start + FAILING_AFTER), "one panic is not a failing task");
        once.panicked(begins + STEADY_AFTER);
        assert!(!once.is_failing(start + FAILING_AFTER), "nor is one now and then");
    }

    #[tokio::test(start_paused = true)]
    async fn a_task_that_panics_begins_anew_until_it_ends_by_itself() {
        let tasks = Tasks::default();
        let lives = AtomicU32::new(0);
        let begin = || async {
            tokio::task::yield_now().await;
            let life = lives.fetch_add(1, Ordering::Relaxed);
            assert!(life >= 3, "one of the panics of this test");
            life
        };
        assert_eq!(tasks.run("the task", begin).await, 3);
        let mut metrics = Exposition::default();
        tasks.write(&mut metrics);
        let text = metrics.classic();
        assert!(text.contains("mintage_task_restarts_total{task=\"the task\"} 3\n"), "{text}");
        assert_eq!((tasks.failing(), tasks.unwell()), (vec![], vec!["the task".to_owned()]));
    }

    #[test]
    fn a_thread_that_panics_begins_anew() {
        let (lived, lives) = mpsc::channel();
        let mut life = 0;
        Tasks::default()
            .thread("the thread", move || {
                life += 1;
                lived.send(life).expect("the test listens");
                assert!(life >= 3, "one of the panics of this test");
            })
            .expect("a thread");
        let lives: Vec<_> = lives.iter().collect();
        assert_eq!(lives, [1, 2, 3], "it ends with the first life that ends by itself");
    }

    #[tokio::test]
    async fn the_first_reason_to_end_the_process_counts() {
        let tasks = Tasks::default();
        assert!(tasks.fatal().now_or_never().is_none());
        tasks.end_process("one");
        tasks.end_process("two");
        assert_eq!(tasks.fatal().await, "one");
    }
}
