//! The entries of r2d2's pool, whose connections are opened by the hops that use them.
//!
//! r2d2 opens connections on three threads of its own. There a failure is retried with a growing pause, so that a hop
//! sees only a timeout, and connections that hang while being opened block all others.
//!
//! r2d2 checks a connection on every checkout, for which diesel's own manager sends a statement. Under load that is
//! one round trip in ten: here a connection that answered within the last second is trusted, and one whose last use
//! ended in an outage is closed.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use diesel::{
    Connection, PgConnection,
    connection::{Instrumentation, InstrumentationEvent, get_default_instrumentation},
    r2d2::{Error, R2D2Connection},
};
use parking_lot::Mutex;
use r2d2::ManageConnection;

use super::{connection, refusal::Refusal};

/// A connection that was unused for longer is checked.
const TRUSTED_FOR: Duration = Duration::from_secs(1);

/// Opens connections; cheap to clone.
#[derive(Clone)]
pub(super) struct Manager {
    url: Arc<str>,
    /// Increased to reentry all connections.
    epoch: Arc<AtomicU64>,
}

/// An entry of the pool, with its connection once that is open.
#[derive(Default)]
pub(super) struct Entry {
    open: Option<Open>,
    /// Its last use ended in an outage.
    pub suspect: bool,
}

struct Open {
    connection: PgConnection,
    used_at: Instant,
    answered: LastAnswer,
    epoch: u64,
}

/// When PostgreSQL last answered a statement of a connection; cheap to clone.
#[derive(Clone)]
pub(super) struct LastAnswer(Arc<Mutex<Instant>>);

impl Default for LastAnswer {
    fn default() -> Self {
        Self(Arc::new(Mutex::new(Instant::now())))
    }
}

impl LastAnswer {
    pub fn note(&self) {
        *self.0.lock() = Instant::now();
    }

    pub fn at(&self) -> Instant {
        *self.0.lock()
    }
}

impl Manager {
    pub fn new(url: &str) -> Self {
        Self { url: connection::pooled_url(url).into(), epoch: Arc::default() }
    }

    /// Lets all connections that are open now be replaced.
    pub fn replace_all(&self) {
        self.epoch.fetch_add(1, Ordering::Relaxed);
    }

    /// Opens a connection; blocks.
    pub fn open(&self) -> Result<PgConnection, Refusal> {
        connection::open_bounded(&self.url)
    }

    /// Opens the connection of the entry unless it is open; blocks.
    pub fn open_in<'a>(
        &self,
        entry: &'a mut Entry,
    ) -> Result<(&'a mut PgConnection, &'a LastAnswer), Refusal> {
        let open = if let Some(open) = entry.open.take() {
            open
        } else {
            let mut connection = self.open()?;
            let answered = LastAnswer::default();
            let (noted, mut others) = (answered.clone(), get_default_instrumentation());
            connection.set_instrumentation(move |event: InstrumentationEvent<'_>| {
                if let InstrumentationEvent::FinishQuery { .. } = event {
                    noted.note();
                }
                if let Some(others) = &mut others {
                    others.on_connection_event(event);
                }
            });
            let epoch = self.epoch.load(Ordering::Relaxed);
            Open { connection, used_at: Instant::now(), answered, epoch }
        };
        let open = entry.open.insert(open);
        Ok((&mut open.connection, &open.answered))
    }
}

impl Entry {
    pub fn is_open(&self) -> bool {
        self.open.is_some()
    }
}

impl ManageConnection for Manager {
    type Connection = Entry;
    type Error = Error;

    fn connect(&self) -> Result<Entry, Error> {
        Ok(Entry::default())
    }

    fn is_valid(&self, entry: &mut Entry) -> Result<(), Error> {
        let Some(open) = &mut entry.open else { return Ok(()) };
        if open.epoch != self.epoch.load(Ordering::Relaxed) {
            // Checking it could hang.
            let replaced = diesel::ConnectionError::BadConnection("it is to be replaced".into());
            return Err(Error::ConnectionError(replaced));
        }
        if open.used_at.elapsed() > TRUSTED_FOR {
            open.connection.ping().map_err(Error::QueryError)?;
        }
        open.used_at = Instant::now();
        Ok(())
    }

    /// Removes an entry without a connection, so that there are never more connections than slots.
    fn has_broken(&self, entry: &mut Entry) -> bool {
        entry.suspect
            // The statement or transaction was not finished.
            || thread::panicking()
            || entry.open.as_mut().is_none_or(|open| {
                open.epoch != self.epoch.load(Ordering::Relaxed) || open.connection.is_broken()
            })
    }
}
