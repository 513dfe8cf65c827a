//! The thread that watches over the database's hops: it gives up those that are not answered, has PostgreSQL
//! probed when something looks wrong, and asks for the end of the process when only a new one can help.

use std::{
    sync::{
        Arc, Weak,
        atomic::{AtomicUsize, Ordering},
        mpsc::Receiver,
    },
    thread,
    time::{Duration, Instant},
};

use super::{
    Inner,
    reach::{Event, Judge},
};
use crate::tasks::Tasks;

/// How often it looks at what runs.
const LOOK: Duration = Duration::from_millis(100);
/// PostgreSQL ends a wait for a lock earlier; a hop without an answer for longer is suspicious.
const SUSPICIOUS: Duration = Duration::from_millis(500);
/// Opening a connection may hang, although libpq gives up after 2 s for each address of the host: it ends there
/// before it sends its first statements. With so many hanging no more are begun.
const MOST_PROBES: usize = 16;
/// When no thread can be left behind any more and all hops hang for so long, the process ends.
const HOPELESS_AFTER: Duration = Duration::from_secs(30);

/// The probes that run.
#[derive(Default)]
pub(super) struct Probes(AtomicUsize);

/// Starts it; it ends with the pool.
pub(super) fn start(inner: &Arc<Inner>, events: Receiver<Event>, tasks: &Tasks) {
    let (inner, ends) = (Arc::downgrade(inner), tasks.clone());
    // Without it an outage would never be noticed, or never end.
    let watch = tasks.thread("database-watch", move || watch_over(&inner, &events, &ends));
    watch.expect("a thread can be started");
}

fn watch_over(inner: &Weak<Inner>, events: &Receiver<Event>, tasks: &Tasks) {
    let mut judge = Judge::new(Instant::now());
    let mut rest = LOOK;
    loop {
        let event = events.recv_timeout(rest);
        let Some(inner) = inner.upgrade() else { return };
        if let Ok(Event::Probed { began, result }) = event
            && judge.probed(&inner.reach, began, result, Instant::now())
        {
            inner.manager.distrust_all();
        }
        let now = Instant::now();
        give_up(&inner, now);
        if let Some(reason) = hopeless(&inner, now) {
            return tasks.end_process(reason);
        }
        if inner.hops.longest_silence(now) > SUSPICIOUS {
            inner.reach.suspect();
        }
        if judge.turn(&inner.reach, inner.probes.0.load(Ordering::Relaxed) < MOST_PROBES, now) {
            probe(&inner, now);
        }
        rest = judge.rest(&inner.reach, LOOK, now);
    }
}

fn give_up(inner: &Inner, now: Instant) {
    let given_up = inner.hops.give_up(now);
    if given_up.open > 0 {
        // What else is open may go where those went.
        inner.manager.distrust_all();
    }
    if given_up.count > 0 {
        let left_behind = inner.hops.left_behind();
        tracing::warn!(
            given_up = given_up.count,
            left_behind,
            "database connections do not answer: given up"
        );
    }
}

/// Why only a new process can help: its threads are lost, and PostgreSQL is not merely away.
fn hopeless(inner: &Inner, now: Instant) -> Option<&'static str> {
    let hops_hang = inner.hops.left_behind() >= inner.hops.most()
        && inner.slots.in_use() == inner.slots.size()
        && inner.hops.longest_silence(now) > HOPELESS_AFTER
        && inner.reach.away().is_none();
    if hops_hang {
        return Some("all database connections hang, though PostgreSQL accepts new ones");
    }
    let probes_hang = inner.probes.0.load(Ordering::Relaxed) >= MOST_PROBES && !inner.has_connections();
    probes_hang.then_some("no database connection is left, and too many hang while they are opened")
}

/// On a thread of its own, since it may hang.
fn probe(inner: &Arc<Inner>, began: Instant) {
    inner.probes.0.fetch_add(1, Ordering::Relaxed);
    let probed = inner.clone();
    let probe = thread::Builder::new().name("database-probe".into()).spawn(move || {
        let result = probed.manager.open().map(drop);
        probed.probes.0.fetch_sub(1, Ordering::Relaxed);
        probed.reach.tell(Event::Probed { began, result });
    });
    if let Err(error) = probe {
        inner.probes.0.fetch_sub(1, Ordering::Relaxed);
        tracing::error!(%error, "a thread cannot be started: PostgreSQL is not probed");
    }
}
