//! Keeps views in memory up to date with the database.
//!
//! One dedicated connection LISTENs for all of them. Diesel cannot wait on the socket, so a thread polls it every
//! [`POLL`]; that is a call of the kernel, not a query. A notification arrives with the commit that it belongs to and
//! none is lost while the connection is open, so a view loads everything once per connection and then applies
//! notifications. A heartbeat detects dead connections.

use std::{
    panic::resume_unwind,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc::{self, RecvTimeoutError},
    },
    thread,
    time::{Duration, Instant},
};

use anyhow::Context;
use diesel::{PgConnection, QueryResult, connection::SimpleConnection};
use parking_lot::Mutex;

use super::{
    connection::{connect, connect_timeout},
    server_time::set_clock,
};
use crate::{clock::Clock, config::Secret, tasks::Tasks};

const POLL: Duration = Duration::from_millis(50);
const HEARTBEAT: Duration = Duration::from_secs(1);
/// Time for a statement; then another connection is opened.
const PATIENCE: Duration = Duration::from_millis(2500);
/// Time beyond libpq's own timeout for the statements with which Diesel prepares a connection.
const PREPARING: Duration = Duration::from_secs(1);
/// The time for connecting doubles up to this with each attempt that hangs, since libpq's timeout is per address of a
/// host.
const MAX_CONNECTING: Duration = Duration::from_secs(30);
/// Time for a view to load everything, or to apply one notification.
const LOADING: Duration = Duration::from_secs(30);
const RECONNECT: Duration = Duration::from_millis(250);
/// Without it, a view would wait without limit for a lock on a table.
const LOCK_TIMEOUT: &str = "SET lock_timeout = '5s'";
/// Threads of one follower that may hang inside libpq, where nothing can interrupt them. A dead network path whose
/// proxy still acknowledges packets reaches this after 7 minutes, when by default no token is accepted any more: a
/// new process is better then.
const MAX_HANGING: usize = 16;

/// A change of a view that was read from the database but not yet applied.
pub type Change<'a> = Box<dyn FnOnce() + Send + 'a>;

/// A view in memory of data in the database.
///
/// Reading and applying are separate: an answer that arrives after another connection has taken over is older than
/// what that one has read and must not replace it.
pub trait Follow: Send + Sync {
    /// The NOTIFY channel that announces changes.
    fn channel(&self) -> &'static str;

    /// Reads everything; called after every (re)connect, with the channel already listening.
    ///
    /// # Errors
    /// The query failed; a new connection is opened.
    fn load(&self, conn: &mut PgConnection) -> QueryResult<Change<'_>>;

    /// Reads the data that one notification announces.
    fn notified(&self, conn: &mut PgConnection, payload: &str) -> QueryResult<Change<'_>>;

    /// Called with every heartbeat: the view is up to date at this time.
    fn confirmed(&self) {}
}

/// Follows changes on a thread of its own; stops when dropped.
pub struct Follower {
    stop: Arc<AtomicBool>,
}

impl Follower {
    /// Returns once every view is loaded. Also keeps the clock synchronised with PostgreSQL's.
    ///
    /// # Errors
    /// The first load failed, or met a lock that was held for longer than 5 seconds.
    pub fn start(
        name: &str,
        url: &Secret,
        clock: &Clock,
        views: Vec<Arc<dyn Follow>>,
        tasks: &Tasks,
    ) -> anyhow::Result<Self> {
        Self::start_bounded(name, url, clock, views, tasks, MAX_HANGING)
    }

    /// As [`Follower::start`]; requests the end of the process if more than `max_hanging` connections hang.
    pub fn start_bounded(
        name: &str,
        url: &Secret,
        clock: &Clock,
        views: Vec<Arc<dyn Follow>>,
        tasks: &Tasks,
        max_hanging: usize,
    ) -> anyhow::Result<Self> {
        // No thread supervises the first load.
        let (steps, _listening) = Steps::new();
        let mut first =
            Some(open(url, clock, &views, &steps).context("cannot load data from PostgreSQL into memory")?);
        let stop = Arc::new(AtomicBool::new(false));
        let (of, url, clock) = (name.to_owned(), url.clone(), clock.clone());
        let (stopped, tasks_of_it) = (stop.clone(), tasks.clone());
        let lives = Arc::new(());
        let connecting = connect_timeout(url.expose()) + PREPARING;
        let mut patience = connecting;
        tasks.thread(name, move || {
            while !stopped.load(Ordering::Relaxed) {
                if Arc::strong_count(&lives) > max_hanging {
                    let reason = format!("{of}: {max_hanging} connections to PostgreSQL hang");
                    return tasks_of_it.end_process(&reason);
                }
                let life = Life {
                    _counted: lives.clone(),
                    url: url.clone(),
                    clock: clock.clone(),
                    views: views.clone(),
                };
                let hung = watch(life, first.take(), patience, &stopped);
                patience = if hung { (patience * 2).min(MAX_CONNECTING.max(connecting)) } else { connecting };
                thread::sleep(RECONNECT);
            }
        })?;
        Ok(Self { stop })
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        // Not joined: on a stalled PostgreSQL the thread would not come back.
        self.stop.store(true, Ordering::Relaxed);
    }
}

/// The data of the thread of one connection.
struct Life {
    _counted: Arc<()>,
    url: Secret,
    clock: Clock,
    views: Vec<Arc<dyn Follow>>,
}

/// Supervises one connection on a thread of its own. Returns when the connection is broken, or when it does not answer
/// in time: then its thread is abandoned, since it cannot be interrupted inside libpq. True if it hung before it was
/// connected, for which it has `patience`.
fn watch(life: Life, conn: Option<PgConnection>, mut patience: Duration, stop: &AtomicBool) -> bool {
    let (steps, pulse) = Steps::new();
    let _abandons = Abandons(steps.abandoned.clone());
    let followed = thread::spawn(move || {
        let Life { url, clock, views, .. } = &life;
        let ended = follow(conn, url, clock, views, &steps);
        if let (Err(error), Ok(())) = (ended, steps.begin(PATIENCE)) {
            let error = format!("{error:#}");
            tracing::warn!(error, "the connection that listens for changes failed: reconnecting");
        }
    });
    let mut is_connected = false;
    while !stop.load(Ordering::Relaxed) {
        match pulse.recv_timeout(patience) {
            Ok(next) => (is_connected, patience) = (true, next),
            Err(RecvTimeoutError::Timeout) => {
                let seconds = patience.as_secs_f32();
                tracing::warn!(
                    seconds,
                    "the connection that listens for changes does not answer: opening another"
                );
                return !is_connected;
            }
            Err(RecvTimeoutError::Disconnected) => {
                if let Err(panic) = followed.join() {
                    resume_unwind(panic);
                }
                return false;
            }
        }
    }
    false
}

/// Links the thread of a connection with the one that supervises it.
struct Steps {
    next: mpsc::Sender<Duration>,
    abandoned: Arc<Mutex<bool>>,
}

impl Steps {
    fn new() -> (Self, mpsc::Receiver<Duration>) {
        let (next, pulse) = mpsc::channel();
        (Self { next, abandoned: Arc::default() }, pulse)
    }

    /// Announces how long the next step may take.
    fn begin(&self, patience: Duration) -> anyhow::Result<()> {
        Ok(self.next.send(patience)?)
    }

    /// Applies a change, unless the thread was abandoned: then what it has read is out of date.
    fn change(&self, change: impl FnOnce()) -> anyhow::Result<()> {
        let abandoned = self.abandoned.lock();
        anyhow::ensure!(!*abandoned, "another connection has taken over");
        change();
        Ok(())
    }
}

/// Abandons the thread when dropped.
struct Abandons(Arc<Mutex<bool>>);

impl Drop for Abandons {
    fn drop(&mut self) {
        *self.0.lock() = true;
    }
}

fn open(
    url: &Secret,
    clock: &Clock,
    views: &[Arc<dyn Follow>],
    steps: &Steps,
) -> anyhow::Result<PgConnection> {
    let mut conn = connect(url)?;
    steps.begin(PATIENCE)?;
    set_clock(&mut conn, clock)?;
    conn.batch_execute(LOCK_TIMEOUT)?;
    for view in views {
        conn.batch_execute(&format!("LISTEN {}", view.channel()))?;
    }
    for view in views {
        steps.begin(LOADING)?;
        let change = view.load(&mut conn).with_context(|| format!("cannot load for {}", view.channel()))?;
        steps.change(|| {
            change();
            view.confirmed();
        })?;
    }
    Ok(conn)
}

/// Follows until the connection fails, or the thread was abandoned or is to stop.
fn follow(
    conn: Option<PgConnection>,
    url: &Secret,
    clock: &Clock,
    views: &[Arc<dyn Follow>],
    steps: &Steps,
) -> anyhow::Result<()> {
    let mut conn = if let Some(conn) = conn {
        conn
    } else {
        let conn = open(url, clock, views, steps)?;
        tracing::info!("listening for changes in PostgreSQL again");
        conn
    };
    let mut confirmed_at = Instant::now();
    loop {
        steps.begin(PATIENCE)?;
        let news: Vec<_> = conn.notifications_iter().collect::<QueryResult<_>>()?;
        for notification in news {
            for view in views.iter().filter(|view| view.channel() == notification.channel) {
                steps.begin(LOADING)?;
                let change = view.notified(&mut conn, &notification.payload)?;
                steps.change(change)?;
            }
        }
        if confirmed_at.elapsed() >= HEARTBEAT {
            steps.begin(PATIENCE)?;
            set_clock(&mut conn, clock)?;
            confirmed_at = Instant::now();
            steps.change(|| views.iter().for_each(|view| view.confirmed()))?;
        }
        thread::sleep(POLL);
    }
}
