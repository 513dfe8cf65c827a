//! Computes statistics of a sample of posts: mean, standard deviation, rate, and their confidence intervals.

use serde::{Deserialize, Serialize};
use statrs::distribution::{ChiSquared, ContinuousCDF};
use utoipa::ToSchema;

use super::mean::{HIGH_TAIL, Interval, Unknown, size, uncertainty};

/// A compound closer to 0 counts as neutral (Hutto and Gilbert, README of `vaderSentiment`).
const NEUTRAL: f64 = 0.05;
const LOW_TAIL: f64 = 0.025;

/// Both scores of one post.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Scored {
    /// VADER's compound of the unchanged text, from -1 to 1.
    pub compound: f64,
    /// [`super::basic()`] of it, from -1 to 1.
    pub basic: f64,
}

/// Shares of the posts by sentiment; they add up to 1.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Shares {
    /// Compound score of 0.05 or more.
    #[schema(example = 0.5)]
    pub positive: f64,
    #[schema(example = 0.3)]
    pub neutral: f64,
    /// Compound score of -0.05 or less.
    #[schema(example = 0.2)]
    pub negative: f64,
}

/// Reliability by `effective_sample_size`: `none` (below 10 independent posts), `low` (below 30), `medium` (below 60),
/// `high`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Confidence {
    None,
    Low,
    Medium,
    High,
}

/// Statistics of a sample; None for each that needs more posts.
#[derive(Clone, Debug, PartialEq)]
pub struct Opinion {
    /// Mean of the compounds.
    pub mean: Option<f64>,
    /// Mean of the basic scores.
    pub basic: Option<f64>,
    /// Sample standard deviation of the compounds, `sqrt(sum((x - mean)^2) / (n - 1))`.
    pub standard_deviation: Option<f64>,
    /// The 95% confidence interval of the mean, or why there is none.
    pub interval: Result<Interval, Reason>,
    /// The number of independent posts whose mean would be as uncertain.
    pub effective_size: f64,
    pub shares: Option<Shares>,
    pub confidence: Confidence,
}

impl Opinion {
    /// Takes the posts in order of time, and the cluster of each: see [`super::clusters`].
    pub fn of(sample: &[Scored], clusters: &[usize]) -> Self {
        let n = size(sample.len());
        let mean = |value: fn(&Scored) -> f64| {
            (!sample.is_empty()).then(|| sample.iter().map(value).sum::<f64>() / n)
        };
        let compound = mean(|post| post.compound);
        let standard_deviation = compound.filter(|_| sample.len() > 1).map(|mean| {
            let squares = sample.iter().map(|post| (post.compound - mean).powi(2)).sum::<f64>();
            (squares / (n - 1.0)).sqrt()
        });
        let compounds: Vec<f64> = sample.iter().map(|post| post.compound).collect();
        let uncertainty = uncertainty(&compounds, clusters);
        let share =
            |counts: fn(f64) -> bool| size(sample.iter().filter(|post| counts(post.compound)).count()) / n;
        let shares = compound.map(|_| {
            let (positive, negative) = (share(|value| value >= NEUTRAL), share(|value| value <= -NEUTRAL));
            Shares { positive, neutral: share(|value| value.abs() < NEUTRAL), negative }
        });
        // An effective size is rarely the number of posts, which is at most 100.
        let confidence = match uncertainty.effective_size + 1e-9 {
            60.0.. => Confidence::High,
            30.0.. => Confidence::Medium,
            10.0.. => Confidence::Low,
            _ => Confidence::None,
        };
        Self {
            mean: compound,
            basic: mean(|post| post.basic),
            standard_deviation,
            interval: uncertainty.interval.map_err(|unknown| match unknown {
                Unknown::TooFew => Reason::TooFewPosts,
                Unknown::AllEqual => Reason::SameScore,
            }),
            effective_size: uncertainty.effective_size,
            shares,
            confidence,
        }
    }
}

/// Why a figure is null.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// There are too few posts, or too few independent ones: an interval needs five people or conversations.
    TooFewPosts,
    /// All posts have the same score, so their spread is unknown.
    SameScore,
    /// All posts have the same time, so there is no rate.
    SameInstant,
    /// Bitcoin's rate of posts, with which it is compared, is unknown or 0.
    NoBitcoin,
}

/// Posts in a time, of one source.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Count {
    pub posts: f64,
    pub hours: f64,
}

impl Count {
    /// Counts a full page over the time between its oldest and newest post: n posts have n - 1 gaps.
    ///
    /// # Errors
    /// There is one post, or no time between the newest and the oldest.
    pub fn of_full_page(posts: usize, hours: f64) -> Result<Self, Reason> {
        if posts < 2 {
            return Err(Reason::TooFewPosts);
        }
        if hours <= 0.0 || !hours.is_finite() {
            return Err(Reason::SameInstant);
        }
        Ok(Self { posts: size(posts - 1), hours })
    }

    /// Counts all posts of a window.
    ///
    /// # Errors
    /// The window has no length.
    pub fn of_window(posts: usize, hours: f64) -> Result<Self, Reason> {
        if hours <= 0.0 || !hours.is_finite() {
            return Err(Reason::TooFewPosts);
        }
        Ok(Self { posts: size(posts), hours })
    }

    fn per_hour(self) -> f64 {
        self.posts / self.hours
    }
}

/// Returns posts per hour, the sum over all sources.
pub fn rate(counts: &[Count]) -> f64 {
    counts.iter().map(|count| count.per_hour()).sum()
}

/// Returns the 95% confidence interval of [`rate`], if posts are a Poisson process: after Fay and Feuer (1997,
/// "Confidence intervals for directly standardized rates", Statistics in Medicine 16:791-801). For one source this is the
/// exact interval of Garwood (1936), `chi2(0.025, 2n) / 2T` to `chi2(0.975, 2n + 2) / 2T`.
pub fn rate_interval(counts: &[Count]) -> Option<Interval> {
    let heaviest = counts.iter().map(|count| 1.0 / count.hours).reduce(f64::max)?;
    let rate = rate(counts);
    let variance: f64 = counts.iter().map(|count| count.posts / (count.hours * count.hours)).sum();
    let low = if rate > 0.0 { scaled_chi_squared(rate, variance, LOW_TAIL) } else { 0.0 };
    let high = scaled_chi_squared(rate + heaviest, variance + heaviest * heaviest, HIGH_TAIL);
    Some(Interval { low, high })
}

/// Returns the quantile of a chi-squared variable that is scaled to this mean and variance.
fn scaled_chi_squared(mean: f64, variance: f64, quantile: f64) -> f64 {
    let freedom = 2.0 * mean * mean / variance;
    let distribution = ChiSquared::new(freedom).expect("a positive number");
    variance / (2.0 * mean) * distribution.inverse_cdf(quantile)
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::{
        Confidence::{High, Low, Medium},
        *,
    };

    fn sample(compounds: &[f64]) -> Vec<Scored> {
        compounds.iter().map(|compound| Scored { compound: *compound, basic: compound / 2.0 }).collect()
    }

    fn near(value: f64, wanted: f64) -> bool {
        (value - wanted).abs() <= 1e-6 * wanted.abs().max(1.0)
    }

    /// Statistics of posts that are all of different people.
    fn opinion(compounds: &[f64]) -> Opinion {
        Opinion::of(&sample(compounds), &(0..compounds.len()).collect::<Vec<_>>())
    }

    #[test]
    fn mean_and_deviation_are_those_of_the_posts() {
        let opinion = opinion(&[0.1, 0.5, -0.3, 0.7, 0.0]);
        assert!(near(opinion.mean.expect("mean"), 0.2));
        assert!(near(opinion.basic.expect("mean"), 0.1));
        assert!(near(opinion.standard_deviation.expect("sd"), 0.4));
        assert_eq!(opinion.shares, Some(Shares { positive: 0.6, neutral: 0.2, negative: 0.2 }));
        assert_eq!(opinion.confidence, Confidence::None);
    }

    #[test]
    fn one_post_has_no_interval_and_no_posts_have_no_mean() {
        let one = opinion(&[0.4]);
        let too_few = Err(Reason::TooFewPosts);
        assert_eq!((one.mean, one.standard_deviation, one.interval), (Some(0.4), None, too_few));
        let none = opinion(&[]);
        assert_eq!((none.mean, none.basic, none.shares, none.interval), (None, None, None, too_few));
    }

    #[test]
    fn confidence_grows_with_the_number_of_independent_posts() {
        let words = [9, 10, 29, 30, 59, 60].map(|n| opinion(&vec![0.0; n]).confidence);
        assert_eq!(words, [Confidence::None, Low, Low, Medium, Medium, High]);
        let of_five = Opinion::of(&sample(&[0.0; 60]), &(0..60).map(|place| place / 5).collect::<Vec<_>>());
        assert_eq!(of_five.confidence, Low);
    }

    /// `SciPy`: `chi2.ppf(0.025, 2 * n) / 2` and `chi2.ppf(0.975, 2 * n + 2) / 2`.
    #[test]
    fn one_source_has_garwoods_interval() {
        for (posts, low, high) in
            [(0.0, 0.0, 3.688_879), (10.0, 4.795_389, 18.390_356), (100.0, 81.363_993, 121.626_793)]
        {
            let interval = rate_interval(&[Count { posts, hours: 2.0 }]).expect("an interval");
            assert!(near(interval.low, low / 2.0) && near(interval.high, high / 2.0), "{interval:?}");
        }
    }

    #[test]
    fn the_rates_of_sources_are_added() {
        let counts = [Count { posts: 99.0, hours: 3.0 }, Count { posts: 20.0, hours: 10.0 }];
        assert!(near(rate(&counts), 35.0));
        let interval = rate_interval(&counts).expect("an interval");
        assert!(near(interval.low, 28.748_847) && near(interval.high, 42.222_863), "{interval:?}");
        assert_eq!(rate_interval(&[]), None);
    }

    #[test]
    fn a_missing_rate_has_a_reason() {
        assert_eq!(Count::of_full_page(1, 1.0), Err(Reason::TooFewPosts));
        assert_eq!(Count::of_full_page(100, 0.0), Err(Reason::SameInstant));
        assert_eq!(Count::of_window(3, 0.0), Err(Reason::TooFewPosts));
        assert_eq!(Count::of_full_page(101, 2.0).map(|count| rate(&[count])), Ok(50.0));
        assert_eq!(Count::of_window(0, 2.0).map(|count| rate(&[count])), Ok(0.0));
    }

    proptest! {
        #[test]
        fn no_sample_gives_a_number_out_of_bounds(compounds in vec(-1.0..=1.0f64, 0..150)) {
            let opinion = opinion(&compounds);
            prop_assert_eq!(opinion.mean.is_some(), !compounds.is_empty());
            if let (Some(mean), Ok(interval)) = (opinion.mean, opinion.interval) {
                prop_assert!(-1.0 <= interval.low && interval.low <= mean + 1e-9);
                prop_assert!(mean - 1e-9 <= interval.high && interval.high <= 1.0);
            }
            if let Some(shares) = opinion.shares {
                prop_assert!(near(shares.positive + shares.neutral + shares.negative, 1.0));
            }
        }

        #[test]
        fn an_interval_holds_its_rate(counts in vec((0u32..1_000_000, 0.001..200.0f64), 1..4)) {
            let counts: Vec<_> = counts.into_iter().map(|(posts, hours)| Count { posts: posts.into(), hours }).collect();
            let (rate, interval) = (rate(&counts), rate_interval(&counts).expect("an interval"));
            prop_assert!(interval.low.is_finite() && interval.high.is_finite());
            prop_assert!(0.0 <= interval.low && interval.low <= rate && rate < interval.high, "{rate} {interval:?}");
        }
    }
}
