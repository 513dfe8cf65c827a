//! Keeps views in memory in step with the database.
//!
//! One dedicated connection LISTENs for all of them. Diesel cannot wait on the socket, so a
//! thread looks at it every [`POLL`]; that asks the kernel, not PostgreSQL. A notification is
//! delivered with the commit it belongs to and none is lost while the connection lives, so a
//! view loads everything once per connection and then applies notifications. A heartbeat finds
//! connections that died without a word.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    thread,
    time::{Duration, Instant},
};

use anyhow::Context;
use diesel::{PgConnection, QueryResult, connection::SimpleConnection};

use super::{connection::connect, server_time::set_clock};
use crate::{clock::Clock, config::Secret};

const POLL: Duration = Duration::from_millis(50);
const HEARTBEAT: Duration = Duration::from_secs(3);
/// How long a connection may take to answer before another one is opened.
const PATIENCE: Duration = Duration::from_secs(10);
const RECONNECT: Duration = Duration::from_millis(250);

/// A view in memory of what is in the database.
pub trait Follow: Send + Sync {
    /// The NOTIFY channel that tells of changes.
    fn channel(&self) -> &'static str;

    /// Reads everything; called after every (re)connect, with the channel already listening.
    ///
    /// # Errors
    /// The database cannot be read; the connection is opened anew.
    fn load(&self, conn: &mut PgConnection) -> QueryResult<()>;

    /// Applies one notification.
    ///
    /// # Errors
    /// As [`Follow::load`].
    fn notified(&self, conn: &mut PgConnection, payload: &str) -> QueryResult<()>;

    /// The view is known to be current as of now; called with every heartbeat.
    fn confirmed(&self) {}
}

/// Follows on a thread of its own; stops when dropped.
pub struct Follower {
    stop: Arc<AtomicBool>,
}

impl Follower {
    /// Returns once every view has been loaded; keeps the clock in step with PostgreSQL's as well.
    ///
    /// # Errors
    /// The first load failed.
    pub fn start(url: &Secret, clock: &Clock, views: Vec<Arc<dyn Follow>>) -> anyhow::Result<Self> {
        let conn = open(url, clock, &views).context("cannot load what is kept in memory")?;
        let stop = Arc::new(AtomicBool::new(false));
        let (url, clock, stopped) = (url.clone(), clock.clone(), stop.clone());
        thread::Builder::new()
            .name("follow".into())
            .spawn(move || supervise(conn, &url, &clock, &views, &stopped))?;
        Ok(Self { stop })
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        // Not joined: on a stalled PostgreSQL the thread would not come back.
        self.stop.store(true, Ordering::Relaxed);
    }
}

/// Starts over with a new connection when one broke, or when a server that is frozen or gone
/// without a word lets it hang: a thread inside libpq cannot be interrupted, so it is left behind.
fn supervise(
    mut conn: PgConnection,
    url: &Secret,
    clock: &Clock,
    views: &[Arc<dyn Follow>],
    stop: &Arc<AtomicBool>,
) {
    loop {
        let leave = Arc::new(AtomicBool::new(false));
        let (alive, pulse) = mpsc::channel();
        let (left, clock_here, followed) = (leave.clone(), clock.clone(), views.to_vec());
        thread::spawn(move || {
            if let Err(error) = follow(&mut conn, &clock_here, &followed, &left, &alive) {
                tracing::warn!(%error, "lost touch with PostgreSQL");
            }
        });
        while pulse.recv_timeout(PATIENCE).is_ok() && !stop.load(Ordering::Relaxed) {}
        leave.store(true, Ordering::Relaxed);
        match reopen(url, clock, views, stop) {
            Some(fresh) => conn = fresh,
            None => return,
        }
        tracing::info!("in touch with PostgreSQL again");
    }
}

fn open(url: &Secret, clock: &Clock, views: &[Arc<dyn Follow>]) -> anyhow::Result<PgConnection> {
    let mut conn = connect(url)?;
    set_clock(&mut conn, clock)?;
    for view in views {
        conn.batch_execute(&format!("LISTEN {}", view.channel()))?;
    }
    for view in views {
        view.load(&mut conn)?;
        view.confirmed();
    }
    Ok(conn)
}

fn reopen(url: &Secret, clock: &Clock, views: &[Arc<dyn Follow>], stop: &AtomicBool) -> Option<PgConnection> {
    while !stop.load(Ordering::Relaxed) {
        match open(url, clock, views) {
            Ok(conn) => return Some(conn),
            Err(error) => tracing::debug!(%error, "PostgreSQL is still away"),
        }
        thread::sleep(RECONNECT);
    }
    None
}

/// Returns when asked to stop, fails when the connection does; says at each turn that it lives.
fn follow(
    conn: &mut PgConnection,
    clock: &Clock,
    views: &[Arc<dyn Follow>],
    stop: &AtomicBool,
    alive: &mpsc::Sender<()>,
) -> QueryResult<()> {
    let mut confirmed_at = Instant::now();
    while !stop.load(Ordering::Relaxed) {
        let news: Vec<_> = conn.notifications_iter().collect::<QueryResult<_>>()?;
        for notification in news {
            for view in views.iter().filter(|view| view.channel() == notification.channel) {
                view.notified(conn, &notification.payload)?;
            }
        }
        if confirmed_at.elapsed() >= HEARTBEAT {
            set_clock(conn, clock)?;
            confirmed_at = Instant::now();
            for view in views {
                view.confirmed();
            }
        }
        // Nobody listens any more once the supervisor has given up on us.
        let _ = alive.send(());
        thread::sleep(POLL);
    }
    Ok(())
}
