//! Computes statistics of a sample of posts: mean, standard deviation, and the confidence interval of the mean.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::mean::{Interval, Unknown, size, uncertainty};

/// A compound closer to 0 counts as neutral (Hutto and Gilbert, README of `vaderSentiment`).
const NEUTRAL: f64 = 0.05;

/// The scores of one post.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Scored {
    /// VADER's compound of the unchanged text, from -1 to 1.
    pub compound: f64,
    /// [`super::basic()`] of it, from -1 to 1.
    pub basic: f64,
    /// [`super::crypto()`] of it, from -1 to 1; None for a post that was scored before that existed.
    pub crypto: Option<f64>,
}

impl Scored {
    /// The post with [`Self::crypto`] as its compound, if it has that.
    pub fn by_crypto(&self) -> Option<Self> {
        Some(Self { compound: self.crypto?, ..*self })
    }
}

/// Shares of the posts by sentiment; they add up to 1, apart from rounding.
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
    /// Share of the posts whose compound is not 0.
    pub coverage: Option<f64>,
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
        let coverage = compound.map(|_| share(|value| value.abs() > 0.0));
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
            interval: uncertainty.interval.map_err(Reason::from),
            effective_size: uncertainty.effective_size,
            shares,
            coverage,
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
    /// The posts of less than five minutes are known, which is no rate.
    ShortWindow,
    /// Bitcoin's rate of posts, with which it is compared, is unknown or 0.
    NoBitcoin,
    /// No source has been read for this coin lately.
    NotHeard,
    /// No source searches for posts about this coin: its name and symbol make no hashtag or search term.
    NotLookedFor,
}

impl From<Unknown> for Reason {
    fn from(unknown: Unknown) -> Self {
        match unknown {
            Unknown::TooFew => Self::TooFewPosts,
            Unknown::AllEqual => Self::SameScore,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::{
        Confidence::{High, Low, Medium},
        *,
    };

    fn sample(compounds: &[f64]) -> Vec<Scored> {
        compounds
            .iter()
            .map(|compound| Scored { compound: *compound, basic: compound / 2.0, crypto: None })
            .collect()
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
    }
}
