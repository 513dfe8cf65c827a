//! Counts the posts about a coin over the last 24 hours, as far as its sources know them.
//!
//! The window is the same for all coins: it ends at the time of reading and is cut to what each source has covered. So a
//! burst of days ago is no rate of now, and a coin can be compared with bitcoin over the time that both are known.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};

use super::silence::{Sources, provider_of};
use crate::sentiment::{Count, Ratio, Reason, ratio};

pub const WINDOW: TimeDelta = TimeDelta::hours(24);
/// A shorter window gives no useful rate.
const MIN_WINDOW: TimeDelta = TimeDelta::minutes(5);

/// The time span for which the posts of a source about a coin are complete.
#[derive(Clone, Debug, PartialEq)]
pub struct Coverage {
    /// `x`, `bluesky` or `mastodon:<host>`.
    pub source: String,
    pub since: DateTime<Utc>,
    pub until: DateTime<Utc>,
    pub counted: Option<Count>,
}

impl Coverage {
    pub fn provider(&self) -> &str {
        provider_of(&self.source)
    }
}

/// The times of the posts of a provider that count, in order.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Times {
    pub posts: Vec<DateTime<Utc>>,
    /// If older posts had to be deleted for newer ones, the time of the oldest that is kept.
    pub kept_since: Option<DateTime<Utc>>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Window {
    pub from: DateTime<Utc>,
    pub to: DateTime<Utc>,
}

impl Window {
    /// None if it is too short for a rate.
    fn new(from: DateTime<Utc>, to: DateTime<Utc>) -> Option<Self> {
        (to - from >= MIN_WINDOW).then_some(Self { from, to })
    }

    fn count(self, times: &[DateTime<Utc>]) -> Count {
        let before = |at: DateTime<Utc>| times.partition_point(|post| *post < at);
        let until = times.partition_point(|post| *post <= self.to);
        let posts = u32::try_from(until.saturating_sub(before(self.from))).unwrap_or(u32::MAX);
        Count { posts: posts.into(), hours: (self.to - self.from).as_seconds_f64() / 3600.0 }
    }
}

/// The posts of a provider.
#[derive(Clone, Copy, Debug)]
struct Counted<'a> {
    window: Window,
    count: Count,
    /// None if the provider counts itself.
    times: Option<&'a [DateTime<Utc>]>,
}

/// The rates of a coin.
#[derive(Clone, Debug)]
pub struct Rates<'a> {
    by_provider: BTreeMap<&'a str, Counted<'a>>,
    /// The earliest time until which a source is covered.
    pub as_of: DateTime<Utc>,
}

impl<'a> Rates<'a> {
    /// Counts the posts of each provider.
    ///
    /// # Errors
    /// `NotHeard` if no source was read lately, `ShortWindow` if all of them have covered too little.
    pub fn new(
        coverage: &'a [Coverage],
        times: &'a BTreeMap<String, Times>,
        sources: &Sources,
        now: DateTime<Utc>,
    ) -> Result<Self, Reason> {
        let mut providers: BTreeMap<&str, Vec<&Coverage>> = BTreeMap::new();
        let is_recent = |one: &&Coverage| one.until > now - WINDOW && sources.is_heard(&one.source, now);
        for one in coverage.iter().filter(is_recent) {
            providers.entry(one.provider()).or_default().push(one);
        }
        let mut reason = Reason::NotHeard;
        let (mut by_provider, mut as_of) = (BTreeMap::new(), now);
        for (provider, coverage) in providers {
            let newest = coverage.iter().map(|one| one.until).max().unwrap_or(now);
            // An instance that others have left behind would end the window too early.
            let counts = |one: &&&Coverage| newest - one.until <= sources.limit(&one.source);
            let coverage: Vec<&Coverage> = coverage.iter().filter(counts).copied().collect();
            let until = coverage.iter().map(|one| one.until).min().unwrap_or(now);
            match count(&coverage, times.get(provider), until, now) {
                Some(counted) => {
                    by_provider.insert(provider, counted);
                    as_of = as_of.min(until);
                }
                None => reason = Reason::ShortWindow,
            }
        }
        if by_provider.is_empty() { Err(reason) } else { Ok(Self { by_provider, as_of }) }
    }

    /// Returns the count of each provider.
    pub fn counts(&self) -> Vec<Count> {
        self.by_provider.values().map(|counted| counted.count).collect()
    }

    /// Returns the span of all windows; None without any.
    pub fn window(&self) -> Option<Window> {
        let windows = || self.by_provider.values().map(|counted| counted.window);
        let from = windows().map(|window| window.from).min()?;
        Some(Window { from, to: windows().map(|window| window.to).max()? })
    }

    /// Compares the posts with those about bitcoin: of each provider that knows both, over the time that both cover.
    ///
    /// # Errors
    /// `NoBitcoin` if no provider knows both, or none has a post about bitcoin.
    pub fn ratio(&self, bitcoin: &Self) -> Result<Ratio, Reason> {
        let (mut own, mut other) = (Vec::new(), Vec::new());
        for (provider, counted) in &self.by_provider {
            if let Some((one, two)) = bitcoin.by_provider.get(provider).and_then(|two| common(counted, two)) {
                own.push(one);
                other.push(two);
            }
        }
        if own.is_empty() {
            return Err(Reason::NoBitcoin);
        }
        ratio(sum(&own), sum(&other)).ok_or(Reason::NoBitcoin)
    }
}

fn count<'a>(
    coverage: &[&Coverage],
    times: Option<&'a Times>,
    until: DateTime<Utc>,
    now: DateTime<Utc>,
) -> Option<Counted<'a>> {
    if let Some(count) = coverage.iter().find_map(|one| one.counted) {
        let length = TimeDelta::try_milliseconds(milliseconds(count.hours)).unwrap_or(WINDOW);
        return Some(Counted { window: Window { from: until - length, to: until }, count, times: None });
    }
    let since = coverage.iter().map(|one| one.since).max()?.max(now - WINDOW);
    let since = times.and_then(|times| times.kept_since).map_or(since, |kept| kept.max(since));
    let window = Window::new(since, until)?;
    let posts = times.map_or(&[][..], |times| &times.posts[..]);
    Some(Counted { window, count: window.count(posts), times: Some(posts) })
}

/// Returns both counts over the same time; a provider's own counts as they are.
fn common(one: &Counted<'_>, two: &Counted<'_>) -> Option<(Count, Count)> {
    match (one.times, two.times) {
        (None, None) => Some((one.count, two.count)),
        (Some(own), Some(other)) => {
            let window = Window::new(one.window.from.max(two.window.from), one.window.to.min(two.window.to))?;
            Some((window.count(own), window.count(other)))
        }
        _ => None,
    }
}

fn sum(counts: &[Count]) -> Count {
    let add = |all: Count, one: &Count| Count { posts: all.posts + one.posts, hours: all.hours + one.hours };
    counts.iter().fold(Count { posts: 0.0, hours: 0.0 }, add)
}

#[expect(clippy::cast_possible_truncation, reason = "at most some days")]
fn milliseconds(hours: f64) -> i64 {
    (hours * 3_600_000.0) as i64
}
