//! Keeps views in memory in step with the database.
//!
//! One dedicated connection LISTENs for all of them. Diesel cannot wait on the socket, so a
//! thread looks at it every [`POLL`]; that asks the kernel, not PostgreSQL. A notification is
//! delivered with the commit it belongs to and none is lost while the connection lives, so a
//! view loads everything once per connection and then applies notifications. A heartbeat finds
//! connections that died without a word.

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
/// How long a statement may take before another connection is opened.
const PATIENCE: Duration = Duration::from_millis(2500);
/// How long connecting may take beyond libpq's own bound, which does not hold for the statements with
/// which Diesel prepares a connection.
const BEYOND_CONNECTING: Duration = Duration::from_secs(1);
/// It doubles up to this with each try that hangs, since libpq's bound is one for each address of a host.
const LONGEST_CONNECTING: Duration = Duration::from_secs(30);
/// How long a view may take to read everything, or to apply one notification.
const LOADING: Duration = Duration::from_secs(30);
const RECONNECT: Duration = Duration::from_millis(250);
/// Else a lock on a table that is read here would be waited for without end and without a word.
const LOCK_TIMEOUT: &str = "SET lock_timeout = '5s'";
/// Threads of one follower that may hang inside libpq, where nothing can interrupt them. A path to
/// the database that is dead and goes on to acknowledge has that many after 7 minutes, when by
/// default no token is accepted any more: a new process is better then.
const MOST_HANGING: usize = 16;

/// A change of a view that was read from the database and is not made yet.
pub type Change<'a> = Box<dyn FnOnce() + Send + 'a>;

/// A view in memory of what is in the database.
///
/// Reading and changing are apart: an answer that comes after another connection has taken over is older than
/// what that one has read, and must not replace it.
pub trait Follow: Send + Sync {
    /// The NOTIFY channel that tells of changes.
    fn channel(&self) -> &'static str;

    /// Reads everything; called after every (re)connect, with the channel already listening.
    ///
    /// # Errors
    /// The database cannot be read; the connection is opened anew.
    fn load(&self, conn: &mut PgConnection) -> QueryResult<Change<'_>>;

    /// Reads what one notification is about.
    ///
    /// # Errors
    /// As [`Follow::load`].
    fn notified(&self, conn: &mut PgConnection, payload: &str) -> QueryResult<Change<'_>>;

    /// The view is known to be current as of now; called with every heartbeat.
    fn confirmed(&self) {}
}

/// Follows on a thread of its own, a task of this name; stops when dropped.
pub struct Follower {
    stop: Arc<AtomicBool>,
}

impl Follower {
    /// Returns once every view has been loaded; keeps the clock in step with PostgreSQL's as well.
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
        Self::start_bounded(name, url, clock, views, tasks, MOST_HANGING)
    }

    /// As [`Follower::start`]; asks for the end of the process when so many connections hang.
    ///
    /// # Errors
    /// As [`Follower::start`].
    pub fn start_bounded(
        name: &str,
        url: &Secret,
        clock: &Clock,
        views: Vec<Arc<dyn Follow>>,
        tasks: &Tasks,
        most_hanging: usize,
    ) -> anyhow::Result<Self> {
        // No thread watches the first load.
        let (steps, _listening) = Steps::new();
        let mut first = Some(open(url, clock, &views, &steps).context("cannot load what is kept in memory")?);
        let stop = Arc::new(AtomicBool::new(false));
        let (of, url, clock) = (name.to_owned(), url.clone(), clock.clone());
        let (stopped, doomed) = (stop.clone(), tasks.clone());
        let lives = Arc::new(());
        let connecting = connect_timeout(url.expose()) + BEYOND_CONNECTING;
        let mut patience = connecting;
        tasks.thread(name, move || {
            while !stopped.load(Ordering::Relaxed) {
                if Arc::strong_count(&lives) > most_hanging {
                    let reason = format!("{of}: {most_hanging} connections to PostgreSQL hang");
                    return doomed.end_process(&reason);
                }
                let life = Life {
                    _counted: lives.clone(),
                    url: url.clone(),
                    clock: clock.clone(),
                    views: views.clone(),
                };
                let hung = watch(life, first.take(), patience, &stopped);
                patience =
                    if hung { (patience * 2).min(LONGEST_CONNECTING.max(connecting)) } else { connecting };
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

/// What one connection needs; there are as many as there are threads.
struct Life {
    _counted: Arc<()>,
    url: Secret,
    clock: Clock,
    views: Vec<Arc<dyn Follow>>,
}

/// Returns when the connection broke, or when a server that is frozen or gone without a word lets
/// it hang: a thread inside libpq cannot be interrupted, so it is left behind. True if it hung
/// before it was connected, for which it has `patience`.
fn watch(life: Life, conn: Option<PgConnection>, mut patience: Duration, stop: &AtomicBool) -> bool {
    let (steps, pulse) = Steps::new();
    let _leaves = Leaves(steps.left.clone());
    let followed = thread::spawn(move || {
        let Life { url, clock, views, .. } = &life;
        let ended = follow(conn, url, clock, views, &steps);
        if let (Err(error), Ok(())) = (ended, steps.begin(PATIENCE)) {
            let error = format!("{error:#}");
            tracing::warn!(error, "changes in PostgreSQL cannot be followed: connecting again");
        }
    });
    let mut is_connected = false;
    while !stop.load(Ordering::Relaxed) {
        match pulse.recv_timeout(patience) {
            Ok(next) => (is_connected, patience) = (true, next),
            Err(RecvTimeoutError::Timeout) => {
                let seconds = patience.as_secs_f32();
                tracing::warn!(seconds, "a connection to PostgreSQL does not answer: opening another");
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

/// Between the thread of a connection and the one that watches it.
struct Steps {
    next: mpsc::Sender<Duration>,
    left: Arc<Mutex<bool>>,
}

impl Steps {
    fn new() -> (Self, mpsc::Receiver<Duration>) {
        let (next, pulse) = mpsc::channel();
        (Self { next, left: Arc::default() }, pulse)
    }

    /// Tells how long the next step may take.
    fn begin(&self, patience: Duration) -> anyhow::Result<()> {
        Ok(self.next.send(patience)?)
    }

    /// Changes views, unless the thread was left behind: then what it has read is out of date.
    fn change(&self, change: impl FnOnce()) -> anyhow::Result<()> {
        let left = self.left.lock();
        anyhow::ensure!(!*left, "another connection has taken over");
        change();
        Ok(())
    }
}

/// Leaves the thread behind when it is dropped.
struct Leaves(Arc<Mutex<bool>>);

impl Drop for Leaves {
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

/// Fails when the connection does, or when the thread was left behind or is to stop.
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
        tracing::info!("changes in PostgreSQL are followed again");
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
