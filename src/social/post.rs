//! Filters and scores posts.

use std::{collections::HashSet, str::FromStr};

use chrono::{DateTime, TimeDelta, Utc};
use diesel::{deserialize::FromSqlRow, expression::AsExpression, sql_types::Text};
use strum::{EnumString, IntoStaticStr};

use super::{
    fingerprints::{Fingerprints, words},
    queries::symbol_of_hashtag,
};
use crate::{
    db::{CoinId, text_enum},
    sentiment::{self, Count, Scored},
};

/// Older posts are neither stored nor counted.
pub const MAX_POST_AGE: TimeDelta = TimeDelta::days(7);
/// The maximum number of posts per coin in the sample.
pub const MAX_SAMPLE_SIZE: usize = 100;
/// The maximum number of posts per coin and provider that are recognised when they are seen again.
pub const MAX_KEPT_POSTS: i64 = 5000;
/// Characters of a text that are scored.
const MAX_TEXT_LEN: usize = 4000;
/// Similar texts count once within this time.
pub const NEAR_TIME: TimeDelta = TimeDelta::days(1);
/// The maximum number of bits in which the `SimHash` values of similar texts differ. Unrelated ones differ in 32, and in 8
/// or fewer once in 3 billion pairs; one more word in a text of 20 changes 6 on average. The usual 3 (Manku et al. 2007) is
/// for pages of thousands of words.
const MAX_NEAR_DISTANCE: u32 = 8;
/// A post that tags more coins is about none of them.
const MAX_TAGGED_COINS: usize = 5;

/// A post as a provider reports it. It is in memory only, until it is scored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Post {
    pub id: String,
    pub author: String,
    pub at: DateTime<Utc>,
    /// The language tag of the provider.
    pub language: Option<String>,
    /// The conversation that the post belongs to, if the provider states it.
    pub thread: Option<String>,
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

/// Why a post does not count.
#[derive(AsExpression, FromSqlRow, Clone, Copy, Debug, PartialEq, Eq, EnumString, IntoStaticStr)]
#[diesel(sql_type = Text)]
#[strum(serialize_all = "lowercase")]
pub enum Dropped {
    /// It is not English.
    Language,
    /// Another post about the coin has the same or a similar text.
    Duplicate,
    /// Another post about the coin has the same author and hour.
    Author,
    /// It tags more than five coins.
    Tags,
}

text_enum!(Dropped);

/// The stored part of a post; the hashes are made by [`Fingerprints`].
#[derive(Clone, Debug, PartialEq)]
pub struct ScoredPost {
    pub post_hash: i64,
    pub text_hash: i64,
    pub near_hash: Option<i64>,
    pub author_hash: i64,
    pub thread_hash: Option<i64>,
    pub at: DateTime<Utc>,
    pub scored: Result<Scored, Dropped>,
}

/// Scores the posts that are not older than [`MAX_POST_AGE`] and no retweets, if they are in English and tag few coins.
/// [`drop_repeated`] compares them with each other.
pub fn score(
    posts: Vec<Post>,
    coin: CoinId,
    names: &[&str],
    fingerprints: &Fingerprints,
    now: DateTime<Utc>,
) -> Vec<ScoredPost> {
    let scored = |post: Post| {
        let text = shortened(&post.text);
        // The clock of the provider may be ahead.
        let at = post.at.min(now);
        if now - at > MAX_POST_AGE || text.starts_with("RT @") {
            return None;
        }
        let words = words(text);
        Some(ScoredPost {
            post_hash: fingerprints.of_post(coin, &post.id),
            text_hash: fingerprints.of_text(coin, text, &words),
            near_hash: fingerprints.near(coin, &words),
            author_hash: fingerprints.of_author(coin, &post.author),
            thread_hash: post.thread.map(|thread| fingerprints.of_thread(coin, &thread)),
            at,
            scored: if !sentiment::is_english(post.language.as_deref(), text, names) {
                Err(Dropped::Language)
            } else if tagged_coins(text) > MAX_TAGGED_COINS {
                Err(Dropped::Tags)
            } else {
                Ok(Scored {
                    compound: sentiment::score(text).compound,
                    basic: sentiment::basic(text),
                    crypto: Some(sentiment::crypto(text)),
                })
            },
        })
    };
    posts.into_iter().filter_map(scored).collect()
}

/// What recognises a repeated post among those of a coin that count.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Marks {
    pub text_hash: i64,
    pub near_hash: Option<i64>,
    pub author_hash: i64,
    pub at: DateTime<Utc>,
}

/// Drops the posts about a coin that repeat one that counts, of `counted` or of themselves: those with the same text, with
/// a similar text within a day, or with the same author in the same hour. Of several the oldest counts. Returns them
/// oldest first.
pub fn drop_repeated(mut posts: Vec<ScoredPost>, mut counted: Vec<Marks>) -> Vec<ScoredPost> {
    posts.sort_by_key(|post| post.at);
    let hour = |at: DateTime<Utc>| at.timestamp().div_euclid(3600);
    let mut texts: HashSet<i64> = counted.iter().map(|marks| marks.text_hash).collect();
    let mut authors: HashSet<(i64, i64)> =
        counted.iter().map(|marks| (marks.author_hash, hour(marks.at))).collect();
    for post in &mut posts {
        if post.scored.is_err() {
            continue;
        }
        let is_near = |marks: &Marks| {
            (marks.at - post.at).abs() <= NEAR_TIME
                && marks
                    .near_hash
                    .zip(post.near_hash)
                    .is_some_and(|(a, b)| (a ^ b).count_ones() <= MAX_NEAR_DISTANCE)
        };
        if texts.contains(&post.text_hash) || counted.iter().any(is_near) {
            post.scored = Err(Dropped::Duplicate);
        } else if authors.contains(&(post.author_hash, hour(post.at))) {
            post.scored = Err(Dropped::Author);
        } else {
            let &mut ScoredPost { text_hash, near_hash, author_hash, at, .. } = post;
            texts.insert(text_hash);
            authors.insert((author_hash, hour(at)));
            counted.push(Marks { text_hash, near_hash, author_hash, at });
        }
    }
    posts
}

/// Counts the coins that a text tags: cashtags, and hashtags of well-known coins.
fn tagged_coins(text: &str) -> usize {
    let coin = |word: &str| {
        let bare = word.trim_start_matches(|c: char| !c.is_alphanumeric() && !matches!(c, '#' | '$'));
        let tag =
            |bare: &str| bare.split(|c: char| !c.is_alphanumeric()).next().unwrap_or_default().to_lowercase();
        if let Some(symbol) = bare.strip_prefix('$') {
            let symbol = tag(symbol);
            return symbol.starts_with(char::is_alphabetic).then_some(symbol);
        }
        symbol_of_hashtag(&tag(bare.strip_prefix('#')?)).map(str::to_lowercase)
    };
    text.split_whitespace().filter_map(coin).collect::<HashSet<_>>().len()
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

    /// Scores posts as they are stored, oldest first.
    fn score(posts: Vec<Post>, names: &[&str]) -> Vec<ScoredPost> {
        drop_repeated(super::score(posts, CoinId(1), names, &fingerprints("one"), now()), Vec::new())
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
            thread: None,
            text: text.into(),
        }
    }

    #[test]
    fn only_posts_that_count_are_scored_and_the_others_have_a_reason() {
        let spanish = Post { language: Some("es".into()), ..post(5, "Bitcoin cae") };
        let same_author = Post { author: "author 9".into(), ..post(4, "something else") };
        let later = Post { id: "later".into(), at: now() + TimeDelta::minutes(30), ..same_author.clone() };
        let old = Post { at: now() - TimeDelta::days(8), ..post(7, "old") };
        let posts = vec![
            post(3, "i LOVE  bitcoin https://example.com @you"),
            same_author,
            spanish,
            post(6, "RT @someone: I love Bitcoin"),
            old,
            post(9, "I love Bitcoin"),
            Post { text: "and another thing".into(), ..later },
        ];
        let scored = score(posts, &["bitcoin"]);
        let found: Vec<_> =
            scored.iter().map(|post| ((now() - post.at).num_minutes(), post.scored.err())).collect();
        assert_eq!(
            found,
            [
                (9, None),
                (5, Some(Dropped::Language)),
                (4, Some(Dropped::Author)),
                (3, Some(Dropped::Duplicate)),
                (0, None)
            ]
        );
        assert!(scored[0].scored.is_ok_and(|scored| scored.compound > 0.6));
    }

    #[test]
    fn posts_are_compared_with_those_that_already_count() {
        let marks = |post: &ScoredPost| Marks {
            text_hash: post.text_hash,
            near_hash: post.near_hash,
            author_hash: post.author_hash,
            at: post.at,
        };
        let counted = score(vec![post(1, "I love Bitcoin")], &[]);
        let again = Post { author: "author 1".into(), ..post(2, "something else") };
        let posts = vec![post(3, "i love bitcoin"), again, post(4, "something new")];
        let posts = super::score(posts, CoinId(1), &[], &fingerprints("one"), now());
        let dropped = drop_repeated(posts, counted.iter().map(marks).collect());
        let reasons: Vec<_> = dropped.iter().map(|post| post.scored.err()).collect();
        assert_eq!(reasons, [None, Some(Dropped::Duplicate), Some(Dropped::Author)]);
    }

    #[test]
    fn a_post_that_tags_more_than_five_coins_counts_for_none() {
        for (text, dropped) in [
            ("$BTC $ETH $SOL $XRP $ADA all look great", None),
            ("$BTC $ETH $SOL $XRP $ADA ($DOGE) all look great", Some(Dropped::Tags)),
            ("#bitcoin $BTC #btc #ethereum #eth #solana $SOL look great", None),
            ("#bitcoin #ethereum #xrp #solana #cardano #dogecoin look great", Some(Dropped::Tags)),
            ("I made $10 $20 $30 $40 $50 $60 #happy #rich #today #yes #wow #nice with Bitcoin", None),
        ] {
            assert_eq!(score(vec![post(1, text)], &[])[0].scored.err(), dropped, "{text}");
        }
    }

    #[test]
    fn a_sentence_with_a_counter_or_another_word_counts_once() {
        let counters =
            (1..=105).map(|number| post(number, &format!("Bitcoin is the best thing ever {number}")));
        let scored = score(counters.collect(), &[]);
        assert_eq!(scored.iter().filter(|post| post.scored.is_ok()).count(), 1);
        let text = "Bitcoin just broke through the resistance and I am never going to sell a single coin, this is only the start";
        for similar in [
            format!("{text} friends"),
            format!("Wow {text}"),
            format!("{text} 🚀🚀🚀 #btc $BTC https://example.com/1"),
            text.replace("the start", "the beginning"),
            text.to_uppercase(),
        ] {
            // How many bits differ depends on the key.
            let is_joined = |key: &i32| {
                let fingerprints = fingerprints(&key.to_string());
                let posts = vec![post(9, text), post(1, &similar)];
                let scored = super::score(posts, CoinId(1), &[], &fingerprints, now());
                drop_repeated(scored, Vec::new())[1].scored.err() == Some(Dropped::Duplicate)
            };
            let joined = (0..100).filter(is_joined).count();
            assert!(joined >= 65, "{joined} of 100: {similar}");
        }
        let days_ago = Post { at: now() - TimeDelta::hours(25), ..post(9, text) };
        assert!(score(vec![days_ago, post(1, &format!("{text} friends"))], &[])[1].scored.is_ok());
    }

    #[test]
    fn posts_that_only_resemble_each_other_are_hardly_ever_joined() {
        let texts = [
            "Bitcoin is great today",
            "Bitcoin is great again",
            "Bitcoin is not great today",
            "I love Bitcoin",
            "I love Bitcoin so much",
            "Bitcoin is going up again this week",
            "Bitcoin is going down again this week",
            "Ethereum gas fees are too high right now for small payments",
            "Bitcoin fees are much too high right now for people who pay small amounts",
            "Just bought my first Bitcoin and I am very happy about it",
            "Just sold my last Bitcoin and I am very happy about it",
            "Just bought more Bitcoin but I am not very happy about it",
        ];
        // Whether two long texts are joined depends on the key: one in a hundred with two of 12 words replaced.
        let joined = |key: i32, texts: &[&str]| {
            let posts = texts.iter().zip(1..).map(|(text, number)| post(number, text)).collect();
            let fingerprints = fingerprints(&key.to_string());
            let posts = drop_repeated(super::score(posts, CoinId(1), &[], &fingerprints, now()), Vec::new());
            posts.iter().filter(|post| post.scored.is_err()).count()
        };
        assert_eq!((0..100).map(|key| joined(key, &texts[..7])).sum::<usize>(), 0, "short texts never are");
        let all: usize = (0..100).map(|key| joined(key, &texts)).sum();
        assert!(all <= 12, "{all} of 1200");
    }

    #[test]
    fn a_time_in_the_future_becomes_now() {
        let ahead = Post { at: now() + TimeDelta::days(400), ..post(1, "hello") };
        assert_eq!(score(vec![ahead], &[])[0].at, now());
    }

    #[test]
    fn a_long_text_is_cut() {
        let long = post(1, &"great but ".repeat(100_000));
        assert!(score(vec![long], &[])[0].scored.is_ok_and(|scored| scored.compound > 0.9));
    }
}
