//! Filters and scores posts.

use std::{collections::HashSet, str::FromStr};

use chrono::{DateTime, TimeDelta, Utc};

use super::fingerprints::Fingerprints;
use crate::{
    db::CoinId,
    sentiment::{self, Count, Scored},
};

/// Older posts are neither stored nor counted.
pub const MAX_POST_AGE: TimeDelta = TimeDelta::days(7);
/// The maximum number of posts per coin in the sample.
pub const MAX_SAMPLE_SIZE: usize = 100;
/// Characters of a text that are scored.
const MAX_TEXT_LEN: usize = 4000;

/// A post as a provider reports it. It is in memory only, until it is scored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Post {
    pub id: String,
    pub author: String,
    pub at: DateTime<Utc>,
    /// The language tag of the provider.
    pub language: Option<String>,
    pub text: String,
}

/// The posts about a coin of one answer of a source, or of several.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Page {
    pub posts: Vec<Post>,
    /// The source's id of the newest post; None if there is nothing new.
    pub cursor: Option<String>,
    /// If older posts were not read, the time since which no post is missing.
    pub complete_since: Option<DateTime<Utc>>,
    /// The number of posts according to the source.
    pub counted: Option<Count>,
    /// The number of requests that were sent.
    pub requests: u32,
    /// The rate limit is nearly used up: the source must not be queried again in this slot.
    pub enough: bool,
}

/// The stored part of a post; the hashes are made by [`Fingerprints`].
#[derive(Clone, Debug, PartialEq)]
pub struct ScoredPost {
    pub post_hash: i64,
    pub text_hash: i64,
    pub author_hash: i64,
    pub at: DateTime<Utc>,
    pub scored: Scored,
}

/// Scores the posts that count: in English, not older than [`MAX_POST_AGE`], no retweets, one of the same text, one per author and
/// hour. Returns at most the newest [`MAX_SAMPLE_SIZE`], newest first.
pub fn score(
    mut posts: Vec<Post>,
    coin: CoinId,
    names: &[&str],
    fingerprints: &Fingerprints,
    now: DateTime<Utc>,
) -> Vec<ScoredPost> {
    posts.sort_by_key(|post| std::cmp::Reverse(post.at));
    let (mut texts, mut authors) = (HashSet::new(), HashSet::new());
    let mut scored = Vec::new();
    for post in posts {
        let text = shortened(&post.text);
        // The clock of the provider may be ahead.
        let at = post.at.min(now);
        if now - at > MAX_POST_AGE || text.starts_with("RT @") {
            continue;
        }
        if !sentiment::is_english(post.language.as_deref(), text, names) {
            continue;
        }
        let text_hash = fingerprints.of_text(coin, text);
        let author_hash = fingerprints.of_author(coin, at.timestamp().div_euclid(3600), &post.author);
        if texts.contains(&text_hash) || authors.contains(&author_hash) {
            continue;
        }
        texts.insert(text_hash);
        authors.insert(author_hash);
        scored.push(ScoredPost {
            post_hash: fingerprints.of_post(coin, &post.id),
            text_hash,
            author_hash,
            at,
            scored: Scored {
                compound: sentiment::score(text).compound,
                basic: sentiment::basic(text),
                crypto: Some(sentiment::crypto(text)),
            },
        });
        if scored.len() == MAX_SAMPLE_SIZE {
            break;
        }
    }
    scored
}

fn shortened(text: &str) -> &str {
    text.char_indices().nth(MAX_TEXT_LEN).map_or(text, |(end, _)| text.split_at(end).0)
}

/// Parses a time (RFC 3339); None if it is malformed.
pub fn time(text: &str) -> Option<DateTime<Utc>> {
    DateTime::<chrono::FixedOffset>::from_str(text).ok().map(|at| at.to_utc())
}

#[cfg(test)]
mod tests {
    use super::{super::fingerprints::tests::fingerprints, *};

    fn score(posts: Vec<Post>, names: &[&str]) -> Vec<ScoredPost> {
        super::score(posts, CoinId(1), names, &fingerprints("one"), now())
    }

    fn now() -> DateTime<Utc> {
        time("2026-11-20T10:00:00Z").expect("time")
    }

    fn post(number: i64, text: &str) -> Post {
        Post {
            id: number.to_string(),
            author: format!("author {number}"),
            at: now() - TimeDelta::minutes(number),
            language: Some("en".into()),
            text: text.into(),
        }
    }

    #[test]
    fn only_posts_that_count_are_scored() {
        let spanish = Post { language: Some("es".into()), ..post(2, "Bitcoin cae") };
        let same_author = Post { author: "author 1".into(), ..post(4, "something else") };
        let later = Post { at: now() - TimeDelta::minutes(90), ..same_author.clone() };
        let old = Post { at: now() - TimeDelta::days(8), ..post(7, "old") };
        let posts = vec![
            post(1, "I love Bitcoin"),
            spanish,
            post(3, "i LOVE  bitcoin https://example.com @you"),
            same_author,
            Post { id: "5".into(), ..later },
            post(6, "RT @someone: I love Bitcoin"),
            old,
        ];
        let scored = score(posts, &["bitcoin"]);
        let times: Vec<_> = scored.iter().map(|post| (now() - post.at).num_minutes()).collect();
        assert_eq!(times, [1, 90]);
        assert!(scored[0].scored.compound > 0.6);
    }

    #[test]
    fn a_sample_is_the_newest_hundred() {
        let posts = (0..300).map(|number| post(number, &format!("number {number}"))).collect();
        let scored = score(posts, &[]);
        assert_eq!((scored.len(), scored[0].at), (100, now()));
        assert_eq!(scored[99].at, now() - TimeDelta::minutes(99));
    }

    #[test]
    fn a_time_in_the_future_becomes_now() {
        let ahead = Post { at: now() + TimeDelta::days(400), ..post(1, "hello") };
        assert_eq!(score(vec![ahead], &[])[0].at, now());
    }

    #[test]
    fn a_long_text_is_cut() {
        let long = post(1, &"great but ".repeat(100_000));
        assert!(score(vec![long], &[])[0].scored.compound > 0.9);
    }
}
