//! Decides which sources are read and which are silent, and shows their state to clients.
//!
//! A source is silent if it was not read successfully within three slots, and not within 15 minutes. A source with a
//! daily budget may be read more rarely than a slot; then three of its own intervals count. When a source was read is the
//! newest reading of any coin, because a source may be queried for the coins in turns.

use std::collections::{HashMap, HashSet};

use chrono::{DateTime, TimeDelta, Utc};
use diesel::{PgConnection, QueryResult, dsl::max, prelude::*};
use serde::Serialize;
use utoipa::ToSchema;

use super::{model::Social, sources::budgets};
use crate::{
    config,
    db::schema::{provider_state, social_cursors},
    sentiment::Reason,
    upstream::Budget,
};

const MIN_SILENCE: TimeDelta = TimeDelta::minutes(15);
const MISSED_READINGS: i32 = 3;
const DAY: TimeDelta = TimeDelta::days(1);

/// A source of posts, and when it was last read.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct SocialSource {
    /// `x`, `bluesky`, or `mastodon:` and the host of an instance. While the market is simulated, `simulation` only.
    #[schema(example = "mastodon:mastodon.social")]
    pub name: String,
    pub state: SourceState,
    /// When it was last read successfully; null if it was not in the last 7 days.
    pub last_heard_at: Option<DateTime<Utc>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum SourceState {
    /// It was read lately.
    Heard,
    /// It was not read within three syncs and 15 minutes, or three of its own intervals if its budget makes them longer.
    Silent,
    /// It rejects the credentials of this server.
    Stopped,
}

/// For how long each source may be unread until it is silent.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Those that are configured, in their order.
    own: Vec<(String, TimeDelta)>,
    default: TimeDelta,
}

impl Limits {
    /// Derives the limits from the interval between two syncs and the budgets. Those of a simulated market are of its posts
    /// only.
    pub fn new(settings: &config::Social, interval: TimeDelta, is_simulated: bool) -> Self {
        let default = (interval * MISSED_READINGS).max(MIN_SILENCE);
        let own = budgets(settings, is_simulated).into_iter().map(|(name, budget)| {
            (name, budget.map_or(default, |budget| default.max(between_readings(budget))))
        });
        Self { own: own.collect(), default }
    }

    /// Returns the limit of a source; one that is not configured any more has the default.
    fn of(&self, source: &str) -> TimeDelta {
        self.own.iter().find(|(name, _)| name == source).map_or(self.default, |(_, limit)| *limit)
    }
}

/// Returns how long the readings take that a budget allows a source to miss.
fn between_readings(Budget { per_day, min_cost }: Budget) -> TimeDelta {
    let seconds = DAY.num_seconds() * i64::from(min_cost) / i64::from(per_day.max(1));
    TimeDelta::seconds(seconds * i64::from(MISSED_READINGS))
}

/// When each source was last read.
#[derive(Clone, Debug)]
pub struct Sources {
    limits: Limits,
    read_at: HashMap<String, DateTime<Utc>>,
    stopped: HashSet<String>,
}

impl Sources {
    /// Knows of no reading yet.
    pub fn new(limits: Limits) -> Self {
        Self { limits, read_at: HashMap::new(), stopped: HashSet::new() }
    }

    /// Reads from the database when each source was read.
    pub fn read(conn: &mut PgConnection, limits: Limits) -> QueryResult<Self> {
        let read_at: Vec<(String, Option<DateTime<Utc>>)> = social_cursors::table
            .group_by(social_cursors::source)
            .select((social_cursors::source, max(social_cursors::covered_until)))
            .load(conn)?;
        let stopped: Vec<String> = provider_state::table
            .filter(provider_state::stopped)
            .select(provider_state::provider)
            .load(conn)?;
        let read_at = read_at.into_iter().filter_map(|(name, at)| Some((name, at?)));
        Ok(Self { limits, read_at: read_at.collect(), stopped: stopped.into_iter().collect() })
    }

    /// Returns the configured sources.
    pub fn status(&self, now: DateTime<Utc>) -> Vec<SocialSource> {
        let status = |(name, _): &(String, TimeDelta)| SocialSource {
            name: name.clone(),
            state: if self.stopped.contains(name) {
                SourceState::Stopped
            } else if self.is_heard(name, now) {
                SourceState::Heard
            } else {
                SourceState::Silent
            },
            last_heard_at: self.read_at.get(name).copied(),
        };
        self.limits.own.iter().map(status).collect()
    }

    /// Returns when the next source becomes silent, unless it is read before.
    pub fn next_change(&self, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        self.read_at.keys().filter_map(|name| self.silent_from(name)).filter(|at| *at > now).min()
    }

    /// Whether no source of these figures was read lately. Figures of a coin that no source searches for cannot be.
    pub fn is_stale(&self, social: &Social, now: DateTime<Utc>) -> bool {
        let is_of = |source: &str| social.sources.iter().any(|provider| provider == provider_of(source));
        social.missing.posts_per_hour != Some(Reason::NotLookedFor)
            && !self.read_at.keys().any(|source| is_of(source) && self.is_heard(source, now))
    }

    /// Whether a source was read lately.
    pub fn is_heard(&self, source: &str, now: DateTime<Utc>) -> bool {
        self.silent_from(source).is_some_and(|at| now < at)
    }

    /// Returns the sources that were read lately.
    pub fn heard(&self, now: DateTime<Utc>) -> impl Iterator<Item = &str> {
        self.read_at.keys().map(String::as_str).filter(move |name| self.is_heard(name, now))
    }

    /// Returns for how long a source may be unread.
    pub fn limit(&self, source: &str) -> TimeDelta {
        self.limits.of(source)
    }

    fn silent_from(&self, source: &str) -> Option<DateTime<Utc>> {
        Some(*self.read_at.get(source)? + self.limits.of(source))
    }
}

#[cfg(test)]
impl Sources {
    /// Sources that were read at these times, with the default limit.
    pub fn with(read_at: impl Iterator<Item = (String, DateTime<Utc>)>) -> Self {
        let mut newest: HashMap<String, DateTime<Utc>> = HashMap::new();
        for (source, at) in read_at {
            let known = newest.entry(source).or_insert(at);
            *known = at.max(*known);
        }
        let limits = Limits { own: Vec::new(), default: MIN_SILENCE };
        Self { limits, read_at: newest, stopped: HashSet::new() }
    }
}

/// Returns the provider of a source: `mastodon` of `mastodon:<host>`.
pub fn provider_of(source: &str) -> &str {
    source.split(':').next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::{
        SourceState::{Heard, Silent},
        *,
    };

    #[test]
    fn a_budget_for_few_readings_makes_a_source_silent_later() {
        let after = |per_day| between_readings(Budget { per_day, min_cost: 11 });
        assert_eq!(after(1000).num_minutes(), 47);
        assert_eq!(after(11), DAY * 3);
        assert!(after(1_000_000) < MIN_SILENCE);
        assert_eq!(after(0), TimeDelta::seconds(DAY.num_seconds() * 33));
    }

    #[test]
    fn a_source_is_silent_from_its_limit_on() {
        let now = DateTime::UNIX_EPOCH + TimeDelta::days(1);
        let limits = Limits {
            own: vec![
                ("mastodon:a".into(), MIN_SILENCE),
                ("x".into(), MIN_SILENCE * 4),
                ("bluesky".into(), MIN_SILENCE),
            ],
            default: MIN_SILENCE,
        };
        let sources = Sources {
            limits,
            read_at: HashMap::from([("mastodon:a".into(), now), ("x".into(), now)]),
            stopped: HashSet::new(),
        };
        let states = |after: TimeDelta| {
            sources.status(now + after).iter().map(|source| source.state).collect::<Vec<_>>()
        };
        assert_eq!(states(TimeDelta::minutes(14)), [Heard, Heard, Silent]);
        assert_eq!(states(TimeDelta::minutes(15)), [Silent, Heard, Silent]);
        assert_eq!(sources.next_change(now), Some(now + TimeDelta::minutes(15)));
        assert_eq!(sources.next_change(now + TimeDelta::minutes(15)), Some(now + TimeDelta::minutes(60)));
        assert_eq!(sources.next_change(now + TimeDelta::minutes(60)), None);
    }
}
