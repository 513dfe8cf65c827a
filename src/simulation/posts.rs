//! Writes posts about the simulated coins: texts with random authors and times, more of them when the price moves, and in
//! the mood of its last hour.
//!
//! Some must not count: texts in Spanish, copies, reposts, further posts of an author. They show what the filters do.

use std::{collections::HashSet, sync::LazyLock};

use chrono::{DateTime, TimeDelta, Utc};
use serde::Deserialize;

use super::{
    noise::{fraction, mix},
    prices::HOUR,
    table::{COINS, Template},
    world::World,
};

/// A change of the price by this much in an hour changes the mood markedly.
const STIRRING_CHANGE: f64 = 0.012;
/// However much the price moves, there are at most so many times as many posts as usual.
const MAX_INTEREST: f64 = 4.0;
const AUTHORS: u64 = 3000;
/// Parts of the posts that must not count.
const SPANISH: f64 = 0.05;
const COPIES: f64 = 0.04;
const REPOSTS: f64 = 0.02;
/// The part of the posts that answer an earlier one.
const REPLIES: f64 = 0.2;
/// The part of the posts that count: all but those in Spanish, reposts, and about half of the copies.
const COUNTED: f64 = 1.0 - SPANISH - REPOSTS - COPIES / 2.0;
/// Posts of a coin in a minute, at most.
const MAX_PER_MINUTE: u64 = 20;
/// Posts of a coin in an hour that is only counted, at most.
const MAX_PER_HOUR: u64 = 500;
/// Times of an hour that is only counted at which the mood is computed.
const MOODS: i64 = 4;
const MINUTE: i64 = 60;
/// The seeds of hours must not be those of minutes.
const HOURS: u64 = 1 << 45;

/// A post as a social source reports it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Post {
    pub id: String,
    pub author: String,
    pub at: DateTime<Utc>,
    /// The conversation that it belongs to: the id of its first post.
    pub thread: String,
    pub text: String,
}

/// The posts of an hour that count, and their authors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PostHour {
    pub at: DateTime<Utc>,
    pub posts: u32,
    pub authors: u32,
}

#[derive(Deserialize)]
struct Texts {
    rising: Vec<String>,
    falling: Vec<String>,
    flat: Vec<String>,
    openers: Vec<String>,
    closers: Vec<String>,
    spanish: Vec<String>,
}

static TEXTS: LazyLock<Texts> =
    LazyLock::new(|| serde_json::from_str(include_str!("texts.json")).expect("a test reads it"));

impl World {
    /// Returns the posts about a coin after `from` and until `to`, the newest first: the newest `limit`. None of a coin that
    /// is not simulated.
    pub fn posts(&self, slug: &str, from: DateTime<Utc>, to: DateTime<Utc>, limit: usize) -> Vec<Post> {
        let Some(coin) = COINS.iter().find(|coin| coin.slug == slug) else { return Vec::new() };
        let mut posts = Vec::new();
        let (first, last) = (from.timestamp().div_euclid(MINUTE), to.timestamp().div_euclid(MINUTE));
        for minute in (first..=last).rev() {
            let mut written = self.posts_of_minute(coin, minute);
            written.retain(|post| post.at > from && post.at <= to);
            written.sort_by_key(|post| std::cmp::Reverse(post.at));
            posts.extend(written);
            if posts.len() >= limit {
                break;
            }
        }
        posts.truncate(limit);
        posts
    }

    /// Returns how many posts about a coin count in each hour from that of `from` until `to`, as many as the mood of its
    /// price implies. No text is written, so it takes a hundredth of the time. None of a coin that is not simulated.
    pub fn post_hours(&self, slug: &str, from: DateTime<Utc>, to: DateTime<Utc>) -> Vec<PostHour> {
        let Some(coin) = COINS.iter().find(|coin| coin.slug == slug) else { return Vec::new() };
        let (first, last) = (from.timestamp().div_euclid(HOUR), to.timestamp().div_euclid(HOUR));
        (first..last).map(|hour| self.posts_of_hour(coin, hour)).collect()
    }

    fn posts_of_hour(&self, coin: &Template, hour: i64) -> PostHour {
        let at = |seconds| DateTime::from_timestamp(hour * HOUR + seconds, 0).expect("a time near now");
        let interest: f64 =
            (0..MOODS).map(|number| interest(self.mood(coin, at(number * HOUR / MOODS)))).sum();
        #[expect(clippy::cast_precision_loss, reason = "a small number")]
        let expected = coin.posts_per_hour * interest / MOODS as f64 * COUNTED;
        let seed = mix(self.seed_of(coin.slug) ^ HOURS, hour.cast_unsigned());
        let posts = count(expected, fraction(seed, 0), MAX_PER_HOUR);
        let authors: HashSet<u64> = (1..=posts).map(|number| author(mix(seed, number))).collect();
        let small = |number: u64| u32::try_from(number).expect("at most 500");
        PostHour { at: at(0), posts: small(posts), authors: small(authors.len() as u64) }
    }

    fn posts_of_minute(&self, coin: &Template, minute: i64) -> Vec<Post> {
        let start = DateTime::from_timestamp(minute * MINUTE, 0).expect("a time near now");
        let seed = mix(self.seed_of(coin.slug), minute.cast_unsigned());
        let mood = self.mood(coin, start);
        let expected = coin.posts_per_hour * interest(mood) / 60.0;
        (0..count(expected, fraction(seed, 0), MAX_PER_MINUTE))
            .map(|number| self.post(coin, (minute, number), mood, mix(seed, number + 1)))
            .collect()
    }

    fn post(&self, coin: &Template, (minute, number): (i64, u64), mood: f64, seed: u64) -> Post {
        let start = DateTime::from_timestamp(minute * MINUTE, 0).expect("a time near now");
        let id = format!("{}-{minute}-{number}", coin.slug);
        let kind = fraction(seed, 1);
        let text = match kind {
            kind if kind < SPANISH => compose(coin, "", pick(&TEXTS.spanish, seed, 2), "", seed),
            kind if kind < SPANISH + COPIES => {
                // All copies of an hour are of the same text.
                let hour = mix(self.seed_of(coin.slug), (minute / 60).cast_unsigned());
                opinion(coin, mood, hour)
            }
            kind if kind < SPANISH + COPIES + REPOSTS => {
                format!("RT @a_friend: {}", opinion(coin, mood, seed))
            }
            _ => opinion(coin, mood, seed),
        };
        let earlier = minute - 1 - i64::try_from(mix(seed, 3) % 20).expect("small");
        let is_reply = fraction(seed, 4) < REPLIES;
        let thread = if is_reply { format!("{}-{earlier}-0", coin.slug) } else { id.clone() };
        Post {
            id,
            author: format!("author-{}", author(seed)),
            at: start + TimeDelta::seconds(i64::try_from(mix(seed, 6) % 60).expect("small")),
            thread,
            text,
        }
    }
}

/// Returns how many times as many posts there are as usual.
fn interest(mood: f64) -> f64 {
    (mood.abs() / STIRRING_CHANGE).mul_add(0.7, 1.0).min(MAX_INTEREST)
}

fn author(seed: u64) -> u64 {
    mix(seed, 5) % AUTHORS
}

/// Writes a text in a mood: most are neutral while the price stands still.
fn opinion(coin: &Template, mood: f64, seed: u64) -> String {
    let tilt = (mood / STIRRING_CHANGE).tanh();
    let (rising, falling) = (0.27f64.mul_add(tilt, 0.33), (-0.27f64).mul_add(tilt, 0.33));
    let texts = match fraction(seed, 7) {
        chance if chance < rising => &TEXTS.rising,
        chance if chance < rising + falling => &TEXTS.falling,
        _ => &TEXTS.flat,
    };
    compose(coin, pick(&TEXTS.openers, seed, 8), pick(texts, seed, 9), pick(&TEXTS.closers, seed, 10), seed)
}

fn compose(coin: &Template, opener: &str, body: &str, closer: &str, seed: u64) -> String {
    let name = match mix(seed, 11) % 4 {
        0 => format!("${}", coin.symbol),
        1 => format!("#{}", coin.name.replace(' ', "")),
        _ => coin.name.to_owned(),
    };
    let body = body.replace("{coin}", &name);
    let parts = [opener, &body, closer].into_iter().filter(|part| !part.is_empty());
    let text = parts.collect::<Vec<_>>().join(if closer.is_empty() { " " } else { ". " });
    match mix(seed, 12) % 6 {
        0 => format!("{text}!"),
        1 => format!("{text} https://example.com/{}", mix(seed, 13) % 10_000),
        _ => text,
    }
}

fn pick(texts: &[String], seed: u64, purpose: u64) -> &str {
    let index = mix(seed, purpose) % texts.len() as u64;
    &texts[usize::try_from(index).expect("a short list")]
}

/// Returns a number of events whose mean is `expected` (Poisson, by inversion), from a chance between 0 and 1.
fn count(expected: f64, chance: f64, at_most: u64) -> u64 {
    let mut probability = (-expected).exp();
    let mut sum = probability;
    let mut count = 0;
    while chance >= sum && count < at_most {
        count += 1;
        #[expect(clippy::cast_precision_loss, reason = "at most 500")]
        let divisor = count as f64;
        probability *= expected / divisor;
        sum += probability;
    }
    count
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Scenario, Simulation};

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_795_000_000 + seconds, 0).expect("a time")
    }

    fn world(scenario: Scenario) -> World {
        World::new(Simulation { scenario, speed: 1, seed: 1 }, at(0))
    }

    #[test]
    fn there_are_hundreds_of_texts_and_all_name_the_coin() {
        let Texts { rising, falling, flat, openers, closers, spanish } = &*TEXTS;
        let bodies: Vec<_> = [rising, falling, flat, spanish].into_iter().flatten().collect();
        assert!(bodies.iter().all(|text| text.contains("{coin}")));
        assert_eq!(bodies.iter().collect::<HashSet<_>>().len(), bodies.len());
        assert!(bodies.len() * openers.len() * closers.len() > 50_000);
    }

    #[test]
    fn a_day_is_the_same_in_one_part_and_in_many() {
        let world = world(Scenario::Calm);
        let whole = world.posts("bitcoin", at(0), at(86_400), usize::MAX);
        let parts: Vec<Post> = (0..8640)
            .rev()
            .flat_map(|part| world.posts("bitcoin", at(part * 10), at(part * 10 + 10), usize::MAX))
            .collect();
        assert_eq!(parts.len(), whole.len());
        let ids: HashSet<_> = whole.iter().map(|post| &post.id).collect();
        assert!(ids.len() == whole.len() && parts.iter().all(|post| ids.contains(&post.id)));
        assert!(whole.is_sorted_by_key(|post| std::cmp::Reverse(post.at)));
        assert_eq!(world.posts("bitcoin", at(0), at(86_400), 100), whole[..100]);
        assert!(world.posts("unknown", at(0), at(86_400), 100).is_empty());
    }

    #[test]
    fn the_number_of_posts_is_near_the_one_of_the_table() {
        for coin in &COINS {
            let posts = world(Scenario::Calm).posts(coin.slug, at(0), at(5 * 86_400), usize::MAX);
            #[expect(clippy::cast_precision_loss, reason = "few posts")]
            let rate = posts.len() as f64 / 120.0;
            assert!((0.7..2.5).contains(&(rate / coin.posts_per_hour)), "{}: {rate}", coin.name);
        }
    }

    #[test]
    fn the_posts_of_hours_are_about_as_many_as_those_that_are_written() {
        let world = world(Scenario::Calm);
        let (from, to) = (at(0), at(4 * 86_400));
        for coin in COINS.iter().filter(|coin| coin.posts_per_hour > 8.0) {
            let hours = world.post_hours(coin.slug, from, to);
            assert_eq!(hours.len(), 96);
            assert!(hours.iter().all(|hour| hour.authors <= hour.posts && hour.at.timestamp() % HOUR == 0));
            let written = world.posts(coin.slug, from, to, usize::MAX).len();
            let counted: u32 = hours.iter().map(|hour| hour.posts).sum();
            #[expect(clippy::cast_precision_loss, reason = "few posts")]
            let ratio = f64::from(counted) / (written as f64 * COUNTED);
            // Four standard errors of the ratio of two counts of a thousand.
            assert!((0.85..1.18).contains(&ratio), "{}: {ratio}", coin.name);
        }
        let again = world.post_hours("bitcoin", at(86_400), to);
        assert_eq!(world.post_hours("bitcoin", from, to)[24..], again);
        assert!(world.post_hours("unknown", from, to).is_empty());
    }

    #[test]
    fn the_mood_is_that_of_the_price() {
        let mean = |scenario| {
            let posts = world(scenario).posts("ethereum", at(600), at(3600), usize::MAX);
            let scores: Vec<f64> = posts.iter().map(|post| tendency(&post.text)).collect();
            #[expect(clippy::cast_precision_loss, reason = "few posts")]
            let mean = scores.iter().sum::<f64>() / scores.len() as f64;
            (mean, scores.len())
        };
        let (calm, crash) = (mean(Scenario::Calm), mean(Scenario::Crash));
        // At least twice as many as in an ordinary hour.
        assert!(crash.0 < calm.0 - 0.1 && crash.1 > 24, "{calm:?} {crash:?}");
    }

    /// A rough score, because the real one is in a room above.
    fn tendency(text: &str) -> f64 {
        let has =
            |texts: &[String]| texts.iter().any(|body| body.split("{coin}").all(|part| text.contains(part)));
        f64::from(u8::from(has(&TEXTS.rising))) - f64::from(u8::from(has(&TEXTS.falling)))
    }

    #[test]
    fn some_posts_must_not_count() {
        let posts = world(Scenario::Calm).posts("bitcoin", at(0), at(86_400), usize::MAX);
        let starts = |start: &str| posts.iter().filter(|post| post.text.starts_with(start)).count();
        let texts: HashSet<_> = posts.iter().map(|post| &post.text).collect();
        let authors: HashSet<_> = posts.iter().map(|post| &post.author).collect();
        let replies = posts.iter().filter(|post| post.thread != post.id).count();
        assert!(
            starts("RT @") > 0 && texts.len() < posts.len() && authors.len() < posts.len() && replies > 0
        );
    }
}
