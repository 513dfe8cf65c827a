//! Supervises hops on a thread of its own: abandons those without an answer, probes PostgreSQL after failures, and
//! requests the end of the process if only a new one can help.

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

/// How often running hops are checked.
const CHECK_INTERVAL: Duration = Duration::from_millis(100);
/// A hop without an answer for longer starts a probe. PostgreSQL's lock timeout is shorter.
const SUSPICIOUS: Duration = Duration::from_millis(500);
/// Opening a connection may hang although libpq has a timeout of 2 s for each address, which does not include the
/// first statements. If this many probes hang, no more are started.
const MAX_PROBES: usize = 16;
/// The process ends if all hops hang for this long and no more threads may get stuck.
const HOPELESS_AFTER: Duration = Duration::from_secs(30);

/// The number of running probes.
#[derive(Default)]
pub(super) struct Probes(AtomicUsize);

/// Starts the thread; it ends with the pool.
pub(super) fn start(inner: &Arc<Inner>, events: Receiver<Event>, tasks: &Tasks) {
    let (inner, ends) = (Arc::downgrade(inner), tasks.clone());
    // Without the thread an outage would not be noticed, or would never end.
    let watch = tasks.thread("database-watch", move || watch_over(&inner, &events, &ends));
    watch.expect("a thread can be started");
}

fn watch_over(inner: &Weak<Inner>, events: &Receiver<Event>, tasks: &Tasks) {
    let mut judge = Judge::new(Instant::now());
    let mut pause = CHECK_INTERVAL;
    loop {
        let event = events.recv_timeout(pause);
        let Some(inner) = inner.upgrade() else { return };
        if let Ok(Event::Probed { began, result }) = event
            && judge.probed(&inner.reach, began, result, Instant::now())
        {
            inner.manager.replace_all();
        }
        let now = Instant::now();
        abandon(&inner, now);
        if let Some(reason) = hopeless(&inner, now) {
            return tasks.end_process(reason);
        }
        if inner.hops.longest_silence(now) > SUSPICIOUS {
            inner.reach.suspect();
        }
        if judge.turn(&inner.reach, inner.probes.0.load(Ordering::Relaxed) < MAX_PROBES, now) {
            probe(&inner, now);
        }
        pause = judge.pause(&inner.reach, CHECK_INTERVAL, now);
    }
}

fn abandon(inner: &Inner, now: Instant) {
    let abandoned = inner.hops.abandon(now);
    if abandoned.open > 0 {
        // The other connections may be dead as well.
        inner.manager.replace_all();
    }
    if abandoned.count > 0 {
        let stuck_threads = inner.hops.stuck();
        tracing::warn!(
            abandoned = abandoned.count,
            stuck_threads,
            "abandoned database connections that do not answer"
        );
    }
}

/// Returns why only a new process can help: too many threads are stuck, though PostgreSQL is available.
fn hopeless(inner: &Inner, now: Instant) -> Option<&'static str> {
    let hops_hang = inner.hops.stuck() >= inner.hops.max_stuck()
        && inner.slots.in_use() == inner.slots.size()
        && inner.hops.longest_silence(now) > HOPELESS_AFTER
        && inner.reach.away().is_none();
    if hops_hang {
        return Some("all database connections hang although PostgreSQL accepts new ones");
    }
    let probes_hang = inner.probes.0.load(Ordering::Relaxed) >= MAX_PROBES && !inner.has_connections();
    probes_hang.then_some("no database connection is left, and too many attempts to open one hang")
}

/// Starts a probe, on a thread of its own since it may hang.
fn probe(inner: &Arc<Inner>, began: Instant) {
    inner.probes.0.fetch_add(1, Ordering::Relaxed);
    let probed = inner.clone();
    let probe = thread::Builder::new().name("database-probe".into()).spawn(move || {
        let result = probed.manager.open().map(drop);
        probed.probes.0.fetch_sub(1, Ordering::Relaxed);
        probed.reach.send(Event::Probed { began, result });
    });
    if let Err(error) = probe {
        inner.probes.0.fetch_sub(1, Ordering::Relaxed);
        tracing::error!(%error, "cannot start a thread to probe PostgreSQL");
    }
}
