//! Computes statistics of a sample of posts: mean, standard deviation, and the confidence interval of the mean.

use serde::{Deserialize, Serialize};
use statrs::distribution::{ContinuousCDF, StudentsT};
use utoipa::ToSchema;

/// A compound closer to 0 counts as neutral (Hutto and Gilbert, README of `vaderSentiment`).
const NEUTRAL: f64 = 0.05;
const HIGH_TAIL: f64 = 0.975;

/// Both scores of one post.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Scored {
    /// VADER's compound of the unchanged text, from -1 to 1.
    pub compound: f64,
    /// [`super::basic()`] of it, from -1 to 1.
    pub basic: f64,
}

/// A 95% confidence interval.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Interval {
    #[schema(example = 0.08)]
    pub low: f64,
    #[schema(example = 0.25)]
    pub high: f64,
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

/// Reliability by size of the sample: `none` (fewer than 10 posts), `low` (fewer than 30), `medium` (fewer than 100),
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
    /// `mean ± t(0.975, n - 1) * sd / sqrt(n)` (Student 1908), cut at -1 and 1.
    pub interval: Option<Interval>,
    pub shares: Option<Shares>,
    pub confidence: Confidence,
}

impl Opinion {
    pub fn of(sample: &[Scored]) -> Self {
        let n = size(sample.len());
        let mean = |value: fn(&Scored) -> f64| {
            (!sample.is_empty()).then(|| sample.iter().map(value).sum::<f64>() / n)
        };
        let compound = mean(|post| post.compound);
        let standard_deviation = compound.filter(|_| sample.len() > 1).map(|mean| {
            let squares = sample.iter().map(|post| (post.compound - mean).powi(2)).sum::<f64>();
            (squares / (n - 1.0)).sqrt()
        });
        let interval = compound.zip(standard_deviation).map(|(mean, deviation)| {
            let student = StudentsT::new(0.0, 1.0, n - 1.0).expect("at least two posts");
            let half = student.inverse_cdf(HIGH_TAIL) * deviation / n.sqrt();
            Interval { low: (mean - half).max(-1.0), high: (mean + half).min(1.0) }
        });
        let share =
            |counts: fn(f64) -> bool| size(sample.iter().filter(|post| counts(post.compound)).count()) / n;
        let shares = compound.map(|_| {
            let (positive, negative) = (share(|value| value >= NEUTRAL), share(|value| value <= -NEUTRAL));
            Shares { positive, neutral: share(|value| value.abs() < NEUTRAL), negative }
        });
        let confidence = match sample.len() {
            0..10 => Confidence::None,
            10..30 => Confidence::Low,
            30..100 => Confidence::Medium,
            _ => Confidence::High,
        };
        Self {
            mean: compound,
            basic: mean(|post| post.basic),
            standard_deviation,
            interval,
            shares,
            confidence,
        }
    }
}

/// Why a figure is null.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// There are too few posts.
    TooFewPosts,
    /// The posts of less than five minutes are known, which is no rate.
    ShortWindow,
    /// Bitcoin's rate of posts, with which it is compared, is unknown or 0.
    NoBitcoin,
    /// No source has been read for this coin lately.
    NotHeard,
    /// No source searches for posts about this coin: its name and symbol make no hashtag or search term.
    NotLookedFor,
}

#[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
fn size(count: usize) -> f64 {
    count as f64
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

    /// The figures are those of `SciPy`: `t.interval(0.95, n - 1, mean, sem)`.
    #[test]
    fn mean_deviation_and_interval_are_those_of_scipy() {
        let opinion = Opinion::of(&sample(&[0.1, 0.5, -0.3, 0.7, 0.0]));
        assert!(near(opinion.mean.expect("mean"), 0.2));
        assert!(near(opinion.basic.expect("mean"), 0.1));
        assert!(near(opinion.standard_deviation.expect("sd"), 0.4));
        let interval = opinion.interval.expect("interval");
        assert!(near(interval.low, -0.296_665_65) && near(interval.high, 0.696_665_65), "{interval:?}");
        assert_eq!(opinion.shares, Some(Shares { positive: 0.6, neutral: 0.2, negative: 0.2 }));
        assert_eq!(opinion.confidence, Confidence::None);
    }

    #[test]
    fn one_post_has_no_interval_and_no_posts_have_no_mean() {
        let one = Opinion::of(&sample(&[0.4]));
        assert_eq!((one.mean, one.standard_deviation, one.interval), (Some(0.4), None, None));
        let none = Opinion::of(&[]);
        assert_eq!((none.mean, none.basic, none.shares), (None, None, None));
    }

    #[test]
    fn confidence_grows_with_the_sample() {
        let words = [9, 10, 29, 30, 99, 100].map(|n| Opinion::of(&sample(&vec![0.0; n])).confidence);
        assert_eq!(words, [Confidence::None, Low, Low, Medium, Medium, High]);
    }

    proptest! {
        #[test]
        fn no_sample_gives_a_number_out_of_bounds(compounds in vec(-1.0..=1.0f64, 0..150)) {
            let opinion = Opinion::of(&sample(&compounds));
            prop_assert_eq!(opinion.mean.is_some(), !compounds.is_empty());
            if let (Some(mean), Some(interval)) = (opinion.mean, opinion.interval) {
                prop_assert!(-1.0 <= interval.low && interval.low <= mean + 1e-9);
                prop_assert!(mean - 1e-9 <= interval.high && interval.high <= 1.0);
            }
            if let Some(shares) = opinion.shares {
                prop_assert!(near(shares.positive + shares.neutral + shares.negative, 1.0));
            }
        }
    }
}
