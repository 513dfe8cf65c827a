//! Aggregates stored scores into each coin's `social`.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use chrono::{DateTime, Utc};

use super::{
    model::{DroppedPosts, Missing, SentimentCoverage, Social},
    post::MAX_SAMPLE_SIZE,
    rates::{Coverage, Rates, Times},
    silence::Sources,
};
use crate::{
    db::CoinId,
    sentiment::{
        CRYPTO_LEXICON, Interval, Opinion, Ratio, Reason, Scored, Shares, clusters, rate, rate_interval,
        significant,
    },
};

/// A stored post.
#[derive(Clone, Debug, PartialEq)]
pub struct KeptPost {
    pub provider: String,
    pub at: DateTime<Utc>,
    pub author: i64,
    pub thread: Option<i64>,
    pub scored: Scored,
}

/// The stored data of a coin; posts newest first.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Known {
    pub posts: Vec<KeptPost>,
    pub dropped: DroppedPosts,
    pub coverage: Vec<Coverage>,
    /// The times of the posts of the last 24 hours, by provider.
    pub times: BTreeMap<String, Times>,
}

impl Known {
    /// Returns the posts that the figures are made of, newest first.
    pub fn sample(&self) -> impl Iterator<Item = &KeptPost> {
        self.posts.iter().take(MAX_SAMPLE_SIZE)
    }

    /// Returns the statistics of the posts of the sample that have this score.
    fn opinion(&self, score: fn(&Scored) -> Option<Scored>) -> Opinion {
        let scored = || self.sample().filter_map(move |post| Some((post, score(&post.scored)?)));
        let scores: Vec<Scored> = scored().map(|(_, score)| score).collect();
        Opinion::of(&scores, &clusters(scored().map(|(post, _)| (post.author, post.thread))))
    }
}

/// The circumstances that the summaries of all coins share.
#[derive(Clone, Copy)]
pub struct Context<'a> {
    pub bitcoin: Option<CoinId>,
    pub sources: &'a Sources,
    pub now: DateTime<Utc>,
}

/// Summarises each coin for which any source has been read, or that no source can search for. `terms` are the search
/// terms of all coins; empty if no source can search for a coin.
pub fn summarise(
    known: &HashMap<CoinId, Known>,
    terms: HashMap<CoinId, Vec<String>>,
    context: Context<'_>,
) -> HashMap<CoinId, Social> {
    let rates = |coin: &CoinId| {
        let known = known.get(coin)?;
        Some(Rates::new(&known.coverage, &known.times, context.sources, context.now))
    };
    let of_bitcoin = context.bitcoin.and_then(|id| rates(&id)?.ok());
    let summary = |(coin, query): (CoinId, Vec<String>)| {
        if query.is_empty() {
            return Some((coin, not_looked_for(context.now)));
        }
        let (own, known) = (rates(&coin)?, known.get(&coin)?);
        let popularity = match (&own, &of_bitcoin) {
            (Err(reason), _) => Err(*reason),
            (Ok(own), Some(bitcoin)) => own.ratio(bitcoin),
            (Ok(_), None) => Err(Reason::NoBitcoin),
        };
        let mut social = summary(known, own, popularity, context)?;
        social.query = query;
        if context.bitcoin == Some(coin) {
            social.popularity_interval = None;
        }
        Some((coin, social))
    };
    terms.into_iter().filter_map(summary).collect()
}

/// Makes the figures of a coin; None if no source has been read for it.
fn summary(
    known: &Known,
    rates: Result<Rates<'_>, Reason>,
    popularity: Result<Ratio, Reason>,
    context: Context<'_>,
) -> Option<Social> {
    let last_read = known.coverage.iter().map(|coverage| coverage.until).max()?;
    let authors: BTreeSet<i64> = known.sample().map(|post| post.author).collect();
    let (opinion, by_crypto) = (known.opinion(|scored| Some(*scored)), known.opinion(Scored::by_crypto));
    let size = known.sample().count();
    let counts = rates.as_ref().map(Rates::counts).unwrap_or_default();
    let window = rates.as_ref().ok().and_then(Rates::window);
    let reason = rates.as_ref().err().copied();
    let why_null =
        if reason == Some(Reason::NotHeard) && size == 0 { Reason::NotHeard } else { Reason::TooFewPosts };
    let missing = |is_null: bool| is_null.then_some(why_null);
    let no_interval = |reason| if size == 0 { why_null } else { reason };
    Some(Social {
        sentiment: opinion.mean.map(rounded),
        sentiment_basic: opinion.basic.map(rounded),
        sentiment_crypto: by_crypto.mean.map(rounded),
        sentiment_crypto_interval: by_crypto.interval.ok().map(|interval| interval_of(interval, rounded)),
        lexicon: CRYPTO_LEXICON.into(),
        coverage: SentimentCoverage {
            sentiment: opinion.coverage.map(rounded),
            sentiment_crypto: by_crypto.coverage.map(rounded),
        },
        interval: opinion.interval.ok().map(|interval| interval_of(interval, rounded)),
        standard_deviation: opinion.standard_deviation.map(rounded),
        shares: opinion.shares.map(rounded_shares),
        sample_size: count_of(size),
        sample_from: known.sample().last().map(|post| post.at),
        sample_to: known.sample().next().map(|post| post.at),
        authors: count_of(authors.len()),
        dropped: known.dropped,
        effective_sample_size: rounded(opinion.effective_size),
        confidence: opinion.confidence,
        posts_per_hour: (!counts.is_empty()).then(|| significant(rate(&counts))),
        posts_per_hour_interval: rate_interval(&counts).map(|interval| interval_of(interval, significant)),
        posts_from: window.map(|window| window.from),
        posts_to: window.map(|window| window.to),
        popularity: popularity.as_ref().ok().map(|ratio| significant(ratio.value)),
        popularity_interval: popularity.as_ref().ok().map(|ratio| interval_of(ratio.interval, significant)),
        missing: Missing {
            sentiment: missing(opinion.mean.is_none()),
            sentiment_crypto: missing(by_crypto.mean.is_none()),
            sentiment_crypto_interval: by_crypto.interval.err().map(no_interval),
            interval: opinion.interval.err().map(no_interval),
            posts_per_hour: reason,
            popularity: popularity.err(),
        },
        sources: sources(known, context),
        query: Vec::new(),
        as_of: rates.map_or(last_read, |rates| rates.as_of),
        updated_at: context.now,
        stale: false,
    })
}

fn not_looked_for(now: DateTime<Utc>) -> Social {
    let opinion = Opinion::of(&[], &[]);
    let reason = Some(Reason::NotLookedFor);
    Social {
        sentiment: None,
        sentiment_basic: None,
        sentiment_crypto: None,
        sentiment_crypto_interval: None,
        lexicon: CRYPTO_LEXICON.into(),
        coverage: SentimentCoverage { sentiment: None, sentiment_crypto: None },
        interval: None,
        standard_deviation: None,
        shares: None,
        sample_size: 0,
        sample_from: None,
        sample_to: None,
        authors: 0,
        dropped: DroppedPosts::default(),
        effective_sample_size: 0.0,
        confidence: opinion.confidence,
        posts_per_hour: None,
        posts_per_hour_interval: None,
        posts_from: None,
        posts_to: None,
        popularity: None,
        popularity_interval: None,
        missing: Missing {
            sentiment: reason,
            sentiment_crypto: reason,
            sentiment_crypto_interval: reason,
            interval: reason,
            posts_per_hour: reason,
            popularity: reason,
        },
        sources: Vec::new(),
        query: Vec::new(),
        as_of: now,
        updated_at: now,
        stale: false,
    }
}

fn count_of(posts: usize) -> i64 {
    i64::try_from(posts).unwrap_or(i64::MAX)
}

/// Returns the providers of the sample, and those that were read lately without a new post.
fn sources(known: &Known, context: Context<'_>) -> Vec<String> {
    let of_sample = known.sample().map(|post| post.provider.as_str());
    let heard = known.coverage.iter().filter(|one| context.sources.is_heard(&one.source, context.now));
    let names: BTreeSet<&str> = of_sample.chain(heard.map(Coverage::provider)).collect();
    names.into_iter().map(ToOwned::to_owned).collect()
}

/// Rounds to four decimal places, which is more than the accuracy of any of these figures.
fn rounded(value: f64) -> f64 {
    (value * 1e4).round() / 1e4
}

fn interval_of(Interval { low, high }: Interval, round: fn(f64) -> f64) -> Interval {
    Interval { low: round(low), high: round(high) }
}

fn rounded_shares(Shares { positive, neutral, negative }: Shares) -> Shares {
    Shares { positive: rounded(positive), neutral: rounded(neutral), negative: rounded(negative) }
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;
    use proptest::prelude::*;

    use super::{super::post::time, *};
    use crate::sentiment::Count;

    fn now() -> DateTime<Utc> {
        time("2026-11-20T10:00:00Z").expect("time")
    }

    fn post(minutes: i64, compound: f64) -> KeptPost {
        KeptPost {
            provider: "mastodon".into(),
            at: now() - TimeDelta::minutes(minutes),
            author: minutes,
            thread: None,
            scored: Scored { compound, basic: 0.0, crypto: Some(compound / 2.0) },
        }
    }

    fn covered(source: &str, minutes: i64) -> Coverage {
        let since = now() - TimeDelta::minutes(minutes);
        Coverage { source: source.into(), since, until: now(), counted: None }
    }

    fn read(minutes_ago: i64, coverage: Coverage) -> Coverage {
        Coverage { until: now() - TimeDelta::minutes(minutes_ago), ..coverage }
    }

    /// A coin with posts of Mastodon.
    fn coin(posts: Vec<KeptPost>, coverage: Vec<Coverage>) -> Known {
        let mut at: Vec<_> = posts.iter().map(|post| post.at).collect();
        at.sort();
        let times = BTreeMap::from([("mastodon".to_owned(), Times { posts: at, kept_since: None })]);
        Known { posts, coverage, times, ..Known::default() }
    }

    /// Coins from 1 on; the first is bitcoin.
    fn summaries(coins: Vec<Known>) -> HashMap<CoinId, Social> {
        let known: HashMap<CoinId, Known> = (1..).map(CoinId).zip(coins).collect();
        let coverage = known.values().flat_map(|known| &known.coverage);
        let sources = Sources::with(coverage.map(|one| (one.source.clone(), one.until)));
        let terms = known.keys().map(|coin| (*coin, vec!["#x".to_owned()])).collect();
        summarise(&known, terms, Context { bitcoin: Some(CoinId(1)), sources: &sources, now: now() })
    }

    fn minutes(range: std::ops::Range<i64>, step: usize) -> Vec<KeptPost> {
        range.step_by(step).map(|minutes| post(minutes, 0.2)).collect()
    }

    #[test]
    fn posts_are_counted_over_the_last_day_as_far_as_it_is_covered() {
        let bitcoin = coin(minutes(0..3000, 60), vec![covered("mastodon:a", 6000)]);
        let other = coin(minutes(1..120, 30), vec![covered("mastodon:a", 240), covered("mastodon:b", 480)]);
        let all = summaries(vec![bitcoin, other]);
        let (bitcoin, other) = (&all[&CoinId(1)], &all[&CoinId(2)]);
        assert_eq!((bitcoin.posts_per_hour, other.posts_per_hour), (Some(1.04), Some(1.0)));
        assert_eq!((bitcoin.posts_from, bitcoin.posts_to), (Some(now() - TimeDelta::hours(24)), Some(now())));
        assert_eq!((bitcoin.popularity, bitcoin.popularity_interval), (Some(1.0), None));
        // Four posts about the coin and five about bitcoin in four hours.
        assert_eq!(other.popularity, Some(0.8));
        assert_eq!((other.missing.posts_per_hour, other.missing.popularity), (None, None));
    }

    #[test]
    fn a_burst_of_days_ago_is_no_rate_of_now() {
        let burst = coin(minutes(7200..7216, 1), vec![covered("mastodon:a", 10_080)]);
        let bitcoin = coin(minutes(0..1440, 60), vec![covered("mastodon:a", 10_080)]);
        let all = summaries(vec![bitcoin, burst]);
        let burst = &all[&CoinId(2)];
        assert_eq!((burst.posts_per_hour, burst.popularity, burst.sample_size), (Some(0.0), Some(0.0), 16));
        assert_eq!(burst.posts_per_hour_interval, Some(Interval { low: 0.0, high: 0.154 }));
        assert!(burst.popularity_interval.is_some_and(|interval| interval.low == 0.0 && interval.high > 0.1));
    }

    #[test]
    fn deleted_posts_end_the_window() {
        let mut full = coin(minutes(0..60, 1), vec![covered("mastodon:a", 10_000)]);
        let kept_since = Some(now() - TimeDelta::minutes(60));
        full.times.get_mut("mastodon").expect("times").kept_since = kept_since;
        let all = summaries(vec![full]);
        assert_eq!((all[&CoinId(1)].posts_per_hour, all[&CoinId(1)].posts_from), (Some(60.0), kept_since));
    }

    #[test]
    fn a_source_that_is_not_read_does_not_count() {
        let dead = read(20, covered("mastodon:b", 10_000));
        let one = coin(minutes(0..30, 1), vec![covered("mastodon:a", 600), dead.clone()]);
        let all = summaries(vec![one]);
        assert_eq!((all[&CoinId(1)].posts_per_hour, all[&CoinId(1)].as_of), (Some(3.0), now()));
        let all = summaries(vec![coin(minutes(30..60, 1), vec![dead.clone()]), coin(vec![], vec![dead])]);
        let (one, none) = (&all[&CoinId(1)], &all[&CoinId(2)]);
        let not_heard = Some(Reason::NotHeard);
        assert_eq!(
            (one.posts_per_hour, one.missing.posts_per_hour, one.missing.popularity),
            (None, not_heard, not_heard)
        );
        assert_eq!((one.missing.sentiment, none.missing.sentiment), (None, not_heard));
        assert_eq!((one.sources.len(), none.sources.len()), (1, 0), "its posts still count");
        assert_eq!((one.as_of, one.posts_to), (now() - TimeDelta::minutes(20), None));
    }

    #[test]
    fn a_coin_that_is_queried_in_turns_has_a_window_of_its_own() {
        let bitcoin = coin(minutes(0..1440, 1), vec![covered("mastodon:a", 10_000)]);
        let turns = coin(minutes(60..1500, 2), vec![read(60, covered("mastodon:a", 10_000))]);
        let all = summaries(vec![bitcoin, turns]);
        let turns = &all[&CoinId(2)];
        assert_eq!((turns.posts_per_hour, turns.popularity), (Some(30.0), Some(0.501)));
        assert_eq!(
            (turns.as_of, turns.posts_to),
            (now() - TimeDelta::hours(1), Some(now() - TimeDelta::hours(1)))
        );
        let left_behind = coin(
            minutes(0..60, 1),
            vec![covered("mastodon:a", 600), read(60, covered("mastodon:c", 10_000))],
        );
        let elsewhere = coin(vec![], vec![covered("mastodon:c", 1)]);
        assert_eq!(summaries(vec![left_behind, elsewhere])[&CoinId(1)].posts_per_hour, Some(6.0));
    }

    #[test]
    fn a_providers_own_count_comes_first_and_only_common_providers_are_compared() {
        let counted = |posts| Coverage { counted: Some(Count { posts, hours: 24.0 }), ..covered("x", 1) };
        let bitcoin = coin(minutes(0..60, 6), vec![covered("mastodon:a", 600)]);
        let other = coin(minutes(0..60, 3), vec![counted(2400.0), covered("mastodon:a", 600)]);
        let all = summaries(vec![bitcoin.clone(), other]);
        assert_eq!((all[&CoinId(2)].posts_per_hour, all[&CoinId(2)].popularity), (Some(102.0), Some(2.0)));
        assert_eq!(all[&CoinId(2)].posts_from, Some(now() - TimeDelta::hours(24)));
        let elsewhere = coin(vec![post(1, 0.1)], vec![counted(2400.0)]);
        let all = summaries(vec![bitcoin, elsewhere.clone()]);
        assert_eq!(
            (all[&CoinId(2)].popularity, all[&CoinId(2)].missing.popularity),
            (None, Some(Reason::NoBitcoin))
        );
        let all = summaries(vec![coin(vec![], vec![counted(240.0)]), elsewhere]);
        assert_eq!(all[&CoinId(2)].popularity, Some(10.0));
    }

    #[test]
    fn a_missing_figure_has_a_reason() {
        let silent = coin(Vec::new(), vec![covered("mastodon:a", 100)]);
        let all = summaries(vec![silent.clone(), silent]);
        assert_eq!(
            (all[&CoinId(2)].sentiment, all[&CoinId(2)].missing.sentiment),
            (None, Some(Reason::TooFewPosts))
        );
        assert_eq!((all[&CoinId(2)].posts_per_hour, all[&CoinId(2)].popularity), (Some(0.0), None));
        assert_eq!(all[&CoinId(1)].missing.popularity, Some(Reason::NoBitcoin));
        let all = summaries(vec![coin(vec![post(0, 0.3)], vec![covered("mastodon:a", 1)])]);
        assert_eq!((all[&CoinId(1)].sentiment, all[&CoinId(1)].posts_per_hour), (Some(0.3), None));
        assert_eq!(all[&CoinId(1)].missing.posts_per_hour, Some(Reason::ShortWindow));
        assert_eq!(all[&CoinId(1)].missing.interval, Some(Reason::TooFewPosts));
        assert_eq!(summaries(vec![Known::default()]), HashMap::new());
    }

    #[test]
    fn posts_that_were_scored_by_vader_only_do_not_count_in_the_second_sentiment() {
        let without = KeptPost { scored: Scored { compound: 0.9, basic: 0.0, crypto: None }, ..post(5, 0.9) };
        let covered = || vec![covered("mastodon:a", 600)];
        let all = summaries(vec![
            coin(vec![post(1, 0.4), post(2, 0.0), without.clone()], covered()),
            coin(vec![without], covered()),
        ]);
        let (both, one) = (&all[&CoinId(1)], &all[&CoinId(2)]);
        assert_eq!((both.sentiment, both.sentiment_crypto), (Some(0.4333), Some(0.1)));
        let coverage = SentimentCoverage { sentiment: Some(0.6667), sentiment_crypto: Some(0.5) };
        assert_eq!((both.coverage, both.missing.sentiment_crypto), (coverage, None));
        assert_eq!(
            (one.sentiment, one.sentiment_crypto, one.coverage.sentiment_crypto),
            (Some(0.9), None, None)
        );
        assert_eq!(one.missing.sentiment_crypto, Some(Reason::TooFewPosts));
    }

    #[test]
    fn a_coin_that_no_source_searches_has_no_figures() {
        let known = HashMap::from([(CoinId(1), coin(minutes(0..60, 1), vec![covered("mastodon:a", 600)]))]);
        let sources = Sources::with([("mastodon:a".to_owned(), now())].into_iter());
        let terms = HashMap::from([(CoinId(1), vec![]), (CoinId(2), vec![])]);
        let all = summarise(&known, terms, Context { bitcoin: None, sources: &sources, now: now() });
        for social in all.values() {
            assert_eq!(
                (social.posts_per_hour, social.missing.posts_per_hour),
                (None, Some(Reason::NotLookedFor))
            );
            assert!(!sources.is_stale(social, now() + TimeDelta::days(1)));
        }
        assert_eq!(all.len(), 2);
    }

    proptest! {
        #[test]
        fn no_figure_is_out_of_bounds(
            one in proptest::collection::vec((0i64..3000, -1.0..1.0f64), 0..130),
            two in proptest::collection::vec((0i64..3000, -1.0..1.0f64), 0..130),
            (covered_one, covered_two, late) in (0i64..3000, 0i64..3000, 0i64..60),
        ) {
            let known = |posts: Vec<(i64, f64)>, coverage| {
                let mut posts: Vec<_> = posts.into_iter().map(|(minutes, compound)| post(minutes, compound)).collect();
                posts.sort_by_key(|post| std::cmp::Reverse(post.at));
                coin(posts, vec![coverage])
            };
            let late = read(late, covered("mastodon:a", covered_two + late));
            let all = summaries(vec![known(one, covered("mastodon:a", covered_one)), known(two, late)]);
            for social in all.values() {
                for number in [social.sentiment, social.posts_per_hour, social.popularity, social.standard_deviation] {
                    prop_assert!(number.is_none_or(f64::is_finite));
                }
                prop_assert_eq!(social.posts_per_hour.is_none(), social.missing.posts_per_hour.is_some());
                prop_assert_eq!(social.posts_per_hour.is_none(), social.posts_per_hour_interval.is_none());
                prop_assert_eq!(social.posts_per_hour.is_none(), social.posts_from.is_none());
                prop_assert_eq!(social.popularity.is_none(), social.missing.popularity.is_some());
                prop_assert_eq!(social.sentiment.is_none(), social.missing.sentiment.is_some());
            }
        }
    }
}
