//! Calculates how long sessions and their tokens live.

use chrono::{DateTime, TimeDelta, Utc};

use super::jwt::LEEWAY;
use crate::{clock::Clock, config};

/// The maximum lifetimes of a session.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ttl {
    /// Without a refresh.
    pub idle: TimeDelta,
    /// With refreshes, from its log-in.
    pub max: TimeDelta,
}

/// The times that a log-in or a refresh depends on.
#[derive(Clone, Debug)]
pub struct Lifetimes {
    pub now: DateTime<Utc>,
    /// See [`Clock::earliest`].
    earliest: DateTime<Utc>,
    pub access_expires_at: DateTime<Utc>,
    pub(super) remembered: Ttl,
    pub(super) short: Ttl,
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
            remembered: Ttl { idle: delta(settings.refresh_idle_ttl), max: delta(settings.refresh_max_ttl) },
            short: Ttl { idle: delta(settings.short_idle_ttl), max: delta(settings.short_max_ttl) },
            grace: delta(settings.refresh_grace),
        }
    }

    /// Whether something with this expiry has expired, by the server's clock.
    pub(super) fn is_over(&self, expires_at: DateTime<Utc>) -> bool {
        expires_at <= self.now - LEEWAY
    }

    /// Like [`Lifetimes::is_over`], but by the earlier of this clock and the system's, see [`Clock::earliest`].
    pub(super) fn is_surely_over(&self, expires_at: DateTime<Utc>) -> bool {
        expires_at <= self.earliest - LEEWAY
    }

    pub(super) fn of(&self, remember: bool) -> Ttl {
        if remember { self.remembered } else { self.short }
    }
}
