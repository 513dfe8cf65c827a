//! Enqueues a job in every interval.

use std::time::Duration;

use chrono::{DateTime, Utc};
use serde_json::Value;

use super::store;
use crate::{
    clock::start_of_slot,
    db::{Db, DbError},
};

/// A job that is enqueued once in every interval.
#[derive(Clone)]
pub(super) struct Schedule {
    name: &'static str,
    interval: Duration,
    kind: &'static str,
    payload: Value,
    /// The last slot that this process has handled: no query until the next one.
    seen: Option<DateTime<Utc>>,
}

impl Schedule {
    pub fn new(name: &'static str, interval: Duration, kind: &'static str, payload: Value) -> Self {
        Self { name, interval, kind, payload, seen: None }
    }

    /// Enqueues the job if a slot has begun for which no replica has done so.
    pub async fn tick(&mut self, db: &Db, now: DateTime<Utc>) -> Result<(), DbError> {
        let slot = start_of_slot(now, self.interval);
        // The next slot may have begun for a replica whose clock is slightly ahead, but not the one after it.
        let ahead = slot + self.interval * 2;
        if self.seen.is_some_and(|seen| seen >= slot && seen < ahead) {
            return Ok(());
        }
        let (name, kind, payload) = (self.name, self.kind, self.payload.clone());
        db.query_tx(move |conn| {
            if store::enter_slot(conn, name, slot, ahead)? {
                store::insert(conn, kind, &payload, now)?;
            }
            Ok(())
        })
        .await?;
        self.seen = Some(slot);
        Ok(())
    }
}
