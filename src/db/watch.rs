//! The thread that watches over the database's hops: it gives up those that are never answered, has PostgreSQL
//! probed when something looks wrong, and ends the process when too many threads are lost.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    process,
    sync::{Arc, Weak, mpsc::Receiver},
    thread,
    time::{Duration, Instant},
};

use super::{
    Inner,
    reach::{Event, Judge},
};

/// How often it looks at what runs.
const LOOK: Duration = Duration::from_millis(100);
/// PostgreSQL ends a statement and a wait for a lock earlier; a hop that takes longer is suspicious.
const SUSPICIOUS: Duration = Duration::from_millis(500);
/// So that the last line of the log is written.
const LAST_WORDS: Duration = Duration::from_millis(300);

/// Starts it; it ends with the pool.
pub(super) fn start(inner: &Arc<Inner>, events: Receiver<Event>) {
    let inner = Arc::downgrade(inner);
    let watch = thread::Builder::new().name("database-watch".into());
    let watch = watch.spawn(move || {
        // Without it an outage would never be noticed, or never end.
        while catch_unwind(AssertUnwindSafe(|| watch_over(&inner, &events))).is_err() {
            tracing::error!("the watch over the database panicked and begins anew");
            thread::sleep(LOOK);
        }
    });
    watch.expect("a thread can be started");
}

fn watch_over(inner: &Weak<Inner>, events: &Receiver<Event>) {
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
        if inner.hops.oldest().is_some_and(|since| now.duration_since(since) > SUSPICIOUS) {
            inner.reach.suspect();
        }
        if judge.turn(&inner.reach, now) {
            probe(&inner, now);
        }
        rest = judge.rest(&inner.reach, LOOK, now);
    }
}

fn give_up(inner: &Inner, now: Instant) {
    let given_up = inner.hops.give_up(now);
    if given_up == 0 {
        return;
    }
    // What is open may go where those went.
    inner.manager.distrust_all();
    let left_behind = inner.hops.left_behind();
    tracing::warn!(given_up, left_behind, "gave up database connections that do not answer");
    if left_behind > inner.most_left_behind() {
        tracing::error!(
            left_behind,
            "the process ends: too many threads wait for database connections that never answer, and only a \
             restart frees them"
        );
        thread::sleep(LAST_WORDS);
        process::exit(1);
    }
}

/// On a thread of its own, since it may hang. It is counted with the hops: one that hangs is left behind.
fn probe(inner: &Arc<Inner>, began: Instant) {
    let probed = inner.clone();
    let probe = thread::Builder::new().name("database-probe".into()).spawn(move || {
        let hop = probed.hops.begin(None);
        let result = probed.manager.open().map(drop);
        probed.hops.end(hop);
        probed.reach.tell(Event::Probed { began, result });
    });
    if let Err(error) = probe {
        inner.reach.tell(Event::Probed { began, result: Err(error.to_string()) });
    }
}
