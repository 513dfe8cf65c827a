//! How long sessions and their tokens live.

use chrono::{DateTime, TimeDelta, Utc};

use super::jwt::LEEWAY;
use crate::{clock::Clock, config};

/// The times that a log-in or a refresh depends on.
#[derive(Clone, Debug)]
pub struct Lifetimes {
    pub now: DateTime<Utc>,
    /// See [`Clock::earliest`].
    earliest: DateTime<Utc>,
    pub access_expires_at: DateTime<Utc>,
    pub(super) remembered: (TimeDelta, TimeDelta),
    pub(super) short: (TimeDelta, TimeDelta),
    pub(super) grace: TimeDelta,
}

impl Lifetimes {
    pub fn new(settings: &config::Tokens, clock: &Clock) -> Self {
        let now = clock.now();
        let delta = |duration| TimeDelta::from_std(duration).expect("the settings are bounded");
        Self {
            now,
            earliest: clock.earliest(),
            access_expires_at: now + delta(settings.access_ttl),
            remembered: (delta(settings.refresh_idle_ttl), delta(settings.refresh_max_ttl)),
            short: (delta(settings.short_idle_ttl), delta(settings.short_max_ttl)),
            grace: delta(settings.refresh_grace),
        }
    }

    /// Whether what expires then has expired.
    pub(super) fn is_over(&self, expires_at: DateTime<Utc>) -> bool {
        expires_at <= self.now - LEEWAY
    }

    /// As [`Lifetimes::is_over`], and the system clock agrees.
    pub(super) fn is_surely_over(&self, expires_at: DateTime<Utc>) -> bool {
        expires_at <= self.earliest - LEEWAY
    }

    pub(super) fn of(&self, remember: bool) -> (TimeDelta, TimeDelta) {
        if remember { self.remembered } else { self.short }
    }
}
