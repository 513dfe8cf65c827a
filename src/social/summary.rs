//! Aggregates stored scores into each coin's `social`.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use chrono::{DateTime, TimeDelta, Utc};

use super::{
    model::{DroppedPosts, Missing, Social},
    post::{MAX_POST_AGE, MAX_SAMPLE_SIZE},
};
use crate::{
    db::CoinId,
    sentiment::{Count, Interval, Opinion, Reason, Scored, clusters, rate, rate_interval},
};

/// A source that was last read longer ago does not count.
const MAX_READING_AGE: TimeDelta = TimeDelta::hours(24);
/// A shorter window gives no useful rate.
const MIN_WINDOW: TimeDelta = TimeDelta::minutes(5);

/// A stored post.
#[derive(Clone, Debug, PartialEq)]
pub struct KeptPost {
    pub provider: String,
    pub at: DateTime<Utc>,
    pub author: i64,
    pub thread: Option<i64>,
    pub scored: Scored,
}

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
    fn provider(&self) -> &str {
        self.source.split(':').next().unwrap_or_default()
    }
}

/// The stored data of a coin; posts newest first.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Known {
    pub posts: Vec<KeptPost>,
    pub dropped: DroppedPosts,
    pub coverage: Vec<Coverage>,
}

impl Known {
    /// Returns the posts that the figures are made of, newest first.
    pub fn sample(&self) -> impl Iterator<Item = &KeptPost> {
        self.posts.iter().take(MAX_SAMPLE_SIZE)
    }
}

type Counts = BTreeMap<String, Count>;

/// Summarises each coin for which any source has been read.
pub fn summarise(
    known: &HashMap<CoinId, Known>,
    bitcoin: Option<CoinId>,
    now: DateTime<Utc>,
) -> HashMap<CoinId, Social> {
    let counted: HashMap<CoinId, Result<Counts, Reason>> =
        known.iter().map(|(coin, known)| (*coin, counts(known, now))).collect();
    let of_bitcoin = bitcoin.and_then(|bitcoin| counted.get(&bitcoin)?.as_ref().ok());
    let summaries = known
        .iter()
        .filter_map(|(coin, known)| Some((*coin, summary(known, &counted[coin], of_bitcoin, now)?)));
    summaries.collect()
}

fn summary(
    known: &Known,
    counts: &Result<Counts, Reason>,
    of_bitcoin: Option<&Counts>,
    now: DateTime<Utc>,
) -> Option<Social> {
    let as_of = known.coverage.iter().map(|coverage| coverage.until).max()?;
    let sample: Vec<Scored> = known.sample().map(|post| post.scored).collect();
    let authors: BTreeSet<i64> = known.sample().map(|post| post.author).collect();
    let clusters = clusters(known.sample().map(|post| (post.author, post.thread)));
    let opinion = Opinion::of(&sample, &clusters);
    let per_source: Vec<Count> = counts.iter().flat_map(BTreeMap::values).copied().collect();
    let posts_per_hour = (!per_source.is_empty()).then(|| rate(&per_source));
    let popularity = match counts {
        Ok(counts) => of_bitcoin.ok_or(Reason::NoBitcoin).and_then(|bitcoin| ratio(counts, bitcoin)),
        Err(reason) => Err(*reason),
    };
    let too_few = |is_null: bool| is_null.then_some(Reason::TooFewPosts);
    Some(Social {
        sentiment: opinion.mean.map(rounded),
        sentiment_basic: opinion.basic.map(rounded),
        interval: opinion.interval.ok().map(rounded_interval),
        standard_deviation: opinion.standard_deviation.map(rounded),
        shares: opinion.shares,
        sample_size: count_of(sample.len()),
        sample_from: known.sample().last().map(|post| post.at),
        sample_to: known.sample().next().map(|post| post.at),
        authors: count_of(authors.len()),
        dropped: known.dropped,
        effective_sample_size: rounded(opinion.effective_size),
        confidence: opinion.confidence,
        posts_per_hour: posts_per_hour.map(rounded),
        posts_per_hour_interval: rate_interval(&per_source).map(rounded_interval),
        popularity: popularity.ok().map(rounded),
        missing: Missing {
            sentiment: too_few(opinion.mean.is_none()),
            interval: opinion.interval.err(),
            posts_per_hour: counts.as_ref().err().copied(),
            popularity: popularity.err(),
        },
        sources: sources(known, now),
        as_of,
    })
}

fn count_of(posts: usize) -> i64 {
    i64::try_from(posts).unwrap_or(i64::MAX)
}

/// Returns the providers of the sample, and those that were read lately without a new post.
fn sources(known: &Known, now: DateTime<Utc>) -> Vec<String> {
    let of_sample = known.sample().map(|post| post.provider.as_str());
    let names: BTreeSet<&str> = of_sample.chain(fresh(known, now).map(Coverage::provider)).collect();
    names.into_iter().map(ToOwned::to_owned).collect()
}

fn fresh(known: &Known, now: DateTime<Utc>) -> impl Iterator<Item = &Coverage> {
    known.coverage.iter().filter(move |coverage| now - coverage.until <= MAX_READING_AGE)
}

/// Counts the posts of each provider. Uses the provider's own count if there is one; otherwise a full sample over the time
/// that its posts span, if it has no gap; otherwise all posts since the last gap.
fn counts(known: &Known, now: DateTime<Utc>) -> Result<Counts, Reason> {
    let mut counts = Counts::new();
    let mut reason = Reason::TooFewPosts;
    let mut providers: BTreeMap<&str, Vec<&Coverage>> = BTreeMap::new();
    for coverage in fresh(known, now) {
        providers.entry(coverage.provider()).or_default().push(coverage);
    }
    for (provider, coverage) in providers {
        match count(known, provider, &coverage, now) {
            Ok(count) => _ = counts.insert(provider.to_owned(), count),
            Err(why) => reason = why,
        }
    }
    if counts.is_empty() { Err(reason) } else { Ok(counts) }
}

fn count(known: &Known, provider: &str, coverage: &[&Coverage], now: DateTime<Utc>) -> Result<Count, Reason> {
    if let Some(count) = coverage.iter().find_map(|coverage| coverage.counted) {
        return Ok(count);
    }
    let times: Vec<_> =
        known.posts.iter().filter(|post| post.provider == provider).map(|post| post.at).collect();
    // The start of the time that all instances cover.
    let since = coverage.iter().map(|coverage| coverage.since).max().unwrap_or(now).max(now - MAX_POST_AGE);
    if let (MAX_SAMPLE_SIZE.., Some(newest), Some(oldest)) =
        (times.len(), times.iter().max(), times.iter().min())
        && *oldest >= since
    {
        return Count::of_full_page(times.len(), hours(*newest - *oldest));
    }
    let until = coverage.iter().map(|coverage| coverage.until).min().unwrap_or(now);
    if until - since < MIN_WINDOW {
        return Err(Reason::TooFewPosts);
    }
    let posts = times.iter().filter(|at| (since..=until).contains(at)).count();
    Count::of_window(posts, hours(until - since))
}

/// Returns the ratio of both rates, over the providers that count both.
fn ratio(counts: &Counts, bitcoin: &Counts) -> Result<f64, Reason> {
    let both = || counts.iter().filter_map(|(provider, count)| Some((*count, *bitcoin.get(provider)?)));
    let own = rate(&both().map(|(count, _)| count).collect::<Vec<_>>());
    let other = rate(&both().map(|(_, bitcoin)| bitcoin).collect::<Vec<_>>());
    if other > 0.0 { Ok(own / other) } else { Err(Reason::NoBitcoin) }
}

fn hours(length: TimeDelta) -> f64 {
    length.as_seconds_f64() / 3600.0
}

/// Rounds to four decimal places, which is more than the accuracy of any of these figures.
fn rounded(value: f64) -> f64 {
    (value * 1e4).round() / 1e4
}

fn rounded_interval(Interval { low, high }: Interval) -> Interval {
    Interval { low: rounded(low), high: rounded(high) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{super::post::time, *};

    fn now() -> DateTime<Utc> {
        time("2026-11-20T10:00:00Z").expect("time")
    }

    fn post(minutes: i64, compound: f64) -> KeptPost {
        let at = now() - TimeDelta::minutes(minutes);
        let scored = Scored { compound, basic: 0.0 };
        KeptPost { provider: "mastodon".into(), at, author: minutes, thread: None, scored }
    }

    fn covered(source: &str, hours: i64) -> Coverage {
        Coverage {
            source: source.into(),
            since: now() - TimeDelta::hours(hours),
            until: now(),
            counted: None,
        }
    }

    fn coin(posts: Vec<KeptPost>, coverage: Vec<Coverage>) -> Known {
        Known { posts, coverage, ..Known::default() }
    }

    fn summaries(coins: Vec<Known>) -> HashMap<CoinId, Social> {
        summarise(&(1..).map(CoinId).zip(coins).collect(), Some(CoinId(1)), now())
    }

    #[test]
    fn a_part_of_a_page_is_counted_over_its_window() {
        let bitcoin =
            coin((0..50).map(|minutes| post(minutes, 0.5)).collect(), vec![covered("mastodon:a", 10)]);
        let other = coin(
            vec![post(1, -0.2), post(90, 0.4)],
            vec![covered("mastodon:a", 4), covered("mastodon:b", 8)],
        );
        let all = summaries(vec![bitcoin, other]);
        assert_eq!((all[&CoinId(1)].posts_per_hour, all[&CoinId(1)].popularity), (Some(5.0), Some(1.0)));
        assert_eq!((all[&CoinId(2)].posts_per_hour, all[&CoinId(2)].popularity), (Some(0.5), Some(0.1)));
        assert_eq!((all[&CoinId(2)].sentiment, all[&CoinId(2)].sample_size), (Some(0.1), 2));
        assert_eq!(all[&CoinId(2)].sources, ["mastodon"]);
        let too_few = Missing { interval: Some(Reason::TooFewPosts), ..Missing::default() };
        assert_eq!(all[&CoinId(2)].missing, too_few);
    }

    #[test]
    fn a_full_page_is_counted_over_the_time_it_took() {
        let page = (0..100).map(|minutes| post(minutes, 0.0)).collect();
        let all = summaries(vec![coin(page, vec![covered("mastodon:a", 168)])]);
        assert_eq!(all[&CoinId(1)].posts_per_hour, Some(60.0));
        let instant = (0..100).map(|_| post(3, 0.0)).collect();
        let all = summaries(vec![coin(instant, vec![covered("mastodon:a", 168)])]);
        assert_eq!((all[&CoinId(1)].posts_per_hour, all[&CoinId(1)].popularity), (None, None));
        assert_eq!(all[&CoinId(1)].missing.posts_per_hour, Some(Reason::SameInstant));
        assert_eq!(all[&CoinId(1)].missing.popularity, Some(Reason::SameInstant));
    }

    #[test]
    fn a_full_page_with_a_gap_is_counted_since_the_gap() {
        // 60 of the last hour, and 40 from before a night in which nothing was read.
        let page = (0..60).chain(720..760).map(|minutes| post(minutes, 0.0)).collect();
        let all = summaries(vec![coin(page, vec![covered("mastodon:a", 1)])]);
        assert_eq!(all[&CoinId(1)].posts_per_hour, Some(60.0));
    }

    #[test]
    fn a_providers_own_count_comes_first_and_only_common_providers_are_compared() {
        let counted = Coverage { counted: Some(Count { posts: 300.0, hours: 3.0 }), ..covered("x", 1) };
        let bitcoin = coin(vec![post(1, 0.1)], vec![covered("mastodon:a", 10)]);
        let other = coin(vec![post(1, 0.1); 2], vec![counted.clone(), covered("mastodon:a", 10)]);
        let all = summaries(vec![bitcoin.clone(), other]);
        assert_eq!((all[&CoinId(2)].posts_per_hour, all[&CoinId(2)].popularity), (Some(100.2), Some(2.0)));
        let elsewhere = coin(vec![post(1, 0.1)], vec![counted]);
        let all = summaries(vec![bitcoin, elsewhere]);
        assert_eq!(
            (all[&CoinId(2)].popularity, all[&CoinId(2)].missing.popularity),
            (None, Some(Reason::NoBitcoin))
        );
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
        assert_eq!(all[&CoinId(2)].missing.popularity, Some(Reason::NoBitcoin));
        let begun = Coverage { since: now() - TimeDelta::minutes(1), ..covered("bluesky", 1) };
        let all = summaries(vec![coin(vec![post(0, 0.3)], vec![begun])]);
        assert_eq!((all[&CoinId(1)].sentiment, all[&CoinId(1)].posts_per_hour), (Some(0.3), None));
        assert_eq!(all[&CoinId(1)].missing.interval, Some(Reason::TooFewPosts));
        assert_eq!(summaries(vec![Known::default()]), HashMap::new());
        assert_eq!(summarise(&HashMap::new(), None, now()), HashMap::new());
    }

    #[test]
    fn a_source_that_was_not_read_lately_does_not_count() {
        let late = Coverage { until: now() - TimeDelta::hours(25), ..covered("mastodon:a", 100) };
        let all =
            summaries(vec![coin(vec![post(2000, 0.3)], vec![late.clone()]), coin(Vec::new(), vec![late])]);
        assert_eq!(all[&CoinId(1)].missing.posts_per_hour, Some(Reason::TooFewPosts));
        assert_eq!(all[&CoinId(1)].as_of, now() - TimeDelta::hours(25));
        assert_eq!(
            (all[&CoinId(1)].sources.len(), all[&CoinId(2)].sources.len()),
            (1, 0),
            "its posts still count"
        );
    }

    proptest! {
        #[test]
        fn no_figure_is_out_of_bounds(
            minutes in proptest::collection::vec((0i64..20_000, -1.0..1.0f64), 0..130),
            hours in 0i64..200,
        ) {
            let mut posts: Vec<_> = minutes.into_iter().map(|(minutes, compound)| post(minutes, compound)).collect();
            posts.sort_by_key(|post| std::cmp::Reverse(post.at));
            let all = summaries(vec![coin(posts, vec![covered("mastodon:a", hours)])]);
            let social = &all[&CoinId(1)];
            for number in [social.sentiment, social.posts_per_hour, social.popularity, social.standard_deviation] {
                prop_assert!(number.is_none_or(f64::is_finite));
            }
            prop_assert_eq!(social.posts_per_hour.is_none(), social.missing.posts_per_hour.is_some());
            prop_assert_eq!(social.popularity.is_none(), social.missing.popularity.is_some());
            prop_assert_eq!(social.sentiment.is_none(), social.missing.sentiment.is_some());
        }
    }
}
