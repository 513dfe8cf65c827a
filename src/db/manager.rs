//! How the pool judges its connections.
//!
//! r2d2 asks on every checkout whether a connection still works, and diesel's own manager then
//! sends a statement. Under load that is one round trip in ten for nothing: a connection that
//! answered a moment ago is taken at its word, and one whose last use ended in an outage is
//! thrown away.

use std::{
    ops::{Deref, DerefMut},
    time::{Duration, Instant},
};

use diesel::{
    PgConnection,
    r2d2::{Error, R2D2Connection},
};
use r2d2::ManageConnection;

use super::connection;

/// Rested connections are asked.
const TRUSTED_FOR: Duration = Duration::from_secs(1);

pub(super) struct Manager {
    pub url: String,
}

pub(super) struct Managed {
    connection: PgConnection,
    used_at: Instant,
    /// Its last use ended in an outage.
    pub suspect: bool,
}

impl Deref for Managed {
    type Target = PgConnection;

    fn deref(&self) -> &PgConnection {
        &self.connection
    }
}

impl DerefMut for Managed {
    fn deref_mut(&mut self) -> &mut PgConnection {
        &mut self.connection
    }
}

impl ManageConnection for Manager {
    type Connection = Managed;
    type Error = Error;

    fn connect(&self) -> Result<Managed, Error> {
        let mut connection = connection::open(&self.url).map_err(Error::ConnectionError)?;
        connection::prepare(&mut connection).map_err(Error::QueryError)?;
        Ok(Managed { connection, used_at: Instant::now(), suspect: false })
    }

    fn is_valid(&self, managed: &mut Managed) -> Result<(), Error> {
        if managed.used_at.elapsed() > TRUSTED_FOR {
            managed.connection.ping().map_err(Error::QueryError)?;
        }
        managed.used_at = Instant::now();
        Ok(())
    }

    fn has_broken(&self, managed: &mut Managed) -> bool {
        managed.suspect || managed.connection.is_broken()
    }
}
