use std::time::Duration;

use chrono::{DateTime, Utc};
use serde_json::Value;

use super::store;
use crate::{db::Db, http::Problem};

/// A job by the clock.
#[derive(Clone)]
pub(super) struct Schedule {
    name: &'static str,
    interval: Duration,
    kind: &'static str,
    payload: Value,
    /// The last slot that this process has looked after: no query until the next one.
    seen: Option<DateTime<Utc>>,
}

impl Schedule {
    pub fn new(name: &'static str, interval: Duration, kind: &'static str, payload: Value) -> Self {
        Self { name, interval, kind, payload, seen: None }
    }

    /// Enqueues the job if a slot has begun that no replica has entered yet.
    pub async fn attend(&mut self, db: &Db, now: DateTime<Utc>) -> Result<(), Problem> {
        let slot = start_of_slot(now, self.interval);
        if self.seen.is_some_and(|seen| seen >= slot) {
            return Ok(());
        }
        let (name, kind, payload) = (self.name, self.kind, self.payload.clone());
        db.tx(move |conn| {
            if store::enter_slot(conn, name, slot)? {
                store::insert(conn, kind, &payload, now)?;
            }
            Ok::<_, Problem>(())
        })
        .await?;
        self.seen = Some(slot);
        Ok(())
    }
}

fn start_of_slot(now: DateTime<Utc>, interval: Duration) -> DateTime<Utc> {
    let interval = i64::try_from(interval.as_secs()).unwrap_or(i64::MAX).max(1);
    DateTime::from_timestamp(now.timestamp().div_euclid(interval) * interval, 0).expect("not after now")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_start_at_multiples_of_the_interval() {
        let now = "2026-11-20T10:07:31.5Z".parse().expect("time");
        let slot = start_of_slot(now, Duration::from_hours(1));
        assert_eq!(slot.to_rfc3339(), "2026-11-20T10:00:00+00:00");
    }
}
