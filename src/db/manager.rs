//! What the pool of r2d2 keeps: places for connections.
//!
//! A place is handed out empty, and the hop that holds it opens the connection. r2d2 would open it on three
//! threads of its own: a failure is tried again with a growing pause and seen by the hop only as time that is
//! up, and connections that hang while they are opened would keep all others from being opened.
//!
//! r2d2 asks on every checkout whether a connection still works, and diesel's own manager then sends a statement.
//! Under load that is one round trip in ten for nothing: a connection that answered within the last second is
//! trusted, and one whose last use ended in an outage is closed.

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

/// After more than this without use a connection is asked whether it still works.
const TRUSTED_FOR: Duration = Duration::from_secs(1);

/// Cheap to clone.
#[derive(Clone)]
pub(super) struct Manager {
    url: Arc<str>,
    /// Counts how often all connections lost their trust.
    epoch: Arc<AtomicU64>,
}

/// A place in the pool, with its connection once that was opened.
#[derive(Default)]
pub(super) struct Place {
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

    /// Connections that are open now are used no more.
    pub fn distrust_all(&self) {
        self.epoch.fetch_add(1, Ordering::Relaxed);
    }

    /// Opens a connection; blocks.
    ///
    /// # Errors
    /// PostgreSQL cannot be reached.
    pub fn open(&self) -> Result<PgConnection, Refusal> {
        connection::open_bounded(&self.url)
    }

    /// Opens the place's connection unless it is open; blocks.
    ///
    /// # Errors
    /// As [`Manager::open`].
    pub fn open_in<'a>(
        &self,
        place: &'a mut Place,
    ) -> Result<(&'a mut PgConnection, &'a LastAnswer), Refusal> {
        let open = if let Some(open) = place.open.take() {
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
        let open = place.open.insert(open);
        Ok((&mut open.connection, &open.answered))
    }
}

impl Place {
    pub fn is_open(&self) -> bool {
        self.open.is_some()
    }
}

impl ManageConnection for Manager {
    type Connection = Place;
    type Error = Error;

    fn connect(&self) -> Result<Place, Error> {
        Ok(Place::default())
    }

    fn is_valid(&self, place: &mut Place) -> Result<(), Error> {
        let Some(open) = &mut place.open else { return Ok(()) };
        if open.epoch != self.epoch.load(Ordering::Relaxed) {
            // Asking could take for ever.
            let distrusted = diesel::ConnectionError::BadConnection("it is distrusted".into());
            return Err(Error::ConnectionError(distrusted));
        }
        if open.used_at.elapsed() > TRUSTED_FOR {
            open.connection.ping().map_err(Error::QueryError)?;
        }
        open.used_at = Instant::now();
        Ok(())
    }

    /// A place without a connection is removed, so that there are never more connections than slots.
    fn has_broken(&self, place: &mut Place) -> bool {
        place.suspect
            // In the middle of something.
            || thread::panicking()
            || place.open.as_mut().is_none_or(|open| {
                open.epoch != self.epoch.load(Ordering::Relaxed) || open.connection.is_broken()
            })
    }
}
