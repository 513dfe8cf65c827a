//! Computes rates of posts and their ratio, with exact confidence intervals.

use statrs::distribution::{Beta, ChiSquared, ContinuousCDF};

use super::mean::Interval;

const LOW_TAIL: f64 = 0.025;
const HIGH_TAIL: f64 = 0.975;

/// Posts in a time, of one source.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Count {
    pub posts: f64,
    /// More than 0.
    pub hours: f64,
}

impl Count {
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

/// The ratio of two rates.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Ratio {
    pub value: f64,
    /// The 95% confidence interval.
    pub interval: Interval,
}

/// Compares two Poisson counts: the ratio of the first rate to the second; None without a post in the second. Given their
/// sum, the first count is binomial (Przyborowski and Wilenski 1940, "Homogeneity of results in testing samples from
/// Poisson series", Biometrika 31:313-323). So the exact interval of Clopper and Pearson (1934) for its share *p* gives
/// that of the ratio, `p / (1 - p)` times the ratio of the times.
pub fn ratio(counted: Count, other: Count) -> Option<Ratio> {
    let (Count { posts: x, hours }, Count { posts: y, hours: other_hours }) = (counted, other);
    if y <= 0.0 {
        return None;
    }
    let scale = other_hours / hours;
    let odds = |a: f64, b: f64, quantile: f64| {
        let share = Beta::new(a, b).expect("positive numbers").inverse_cdf(quantile);
        scale * share / (1.0 - share)
    };
    let value = scale * x / y;
    let low = if x > 0.0 { odds(x, y + 1.0, LOW_TAIL) } else { 0.0 };
    Some(Ratio { value, interval: Interval { low, high: odds(x + 1.0, y, HIGH_TAIL) } })
}

/// Rounds to three significant digits, more than a count of posts supports.
pub fn significant(value: f64) -> f64 {
    if value == 0.0 || !value.is_finite() {
        return value;
    }
    // Decimal text avoids the errors of powers of ten.
    format!("{value:.2e}").parse().unwrap_or(value)
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;

    fn near(value: f64, wanted: f64) -> bool {
        (value - wanted).abs() <= 1e-6 * wanted.abs()
    }

    fn per_hour(posts: f64) -> Count {
        Count { posts, hours: 1.0 }
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

    /// `SciPy`: `p = beta.ppf(0.025, x, y + 1); p / (1 - p)` and `p = beta.ppf(0.975, x + 1, y); p / (1 - p)`.
    #[test]
    fn a_ratio_has_the_interval_of_clopper_and_pearson() {
        for (x, y, low, high) in [
            (0.0, 24.0, 0.0, 0.166_144_852_618),
            (3.0, 60.0, 0.010_029_544_033, 0.153_293_993_164),
            (1.0, 1.0, 0.012_739_367_084, 78.496_835_316_263),
            (100.0, 100.0, 0.750_266_485_226, 1.332_859_750_092),
            (2500.0, 40.0, 45.765_777_627_448, 87.700_952_455_327),
            (7.0, 100_000.0, 0.000_028_142_900_827, 0.000_144_232_106_406),
        ] {
            let Ratio { value, interval } = ratio(per_hour(x), per_hour(y)).expect("a ratio");
            assert!(near(value, x / y) || value == 0.0);
            assert!(near(interval.low, low) || low == 0.0, "{interval:?}");
            assert!(near(interval.high, high), "{interval:?}");
        }
    }

    #[test]
    fn a_ratio_is_one_of_rates_and_needs_posts_to_compare_with() {
        let of =
            |hours| ratio(Count { posts: 30.0, hours }, Count { posts: 60.0, hours: 24.0 }).expect("a ratio");
        let (whole, half) = (of(24.0), of(12.0));
        assert!(near(whole.value, 0.5) && near(half.value, 1.0));
        assert!(near(half.interval.low, 2.0 * whole.interval.low));
        assert_eq!(ratio(per_hour(5.0), per_hour(0.0)), None);
    }

    #[test]
    fn numbers_have_three_significant_digits() {
        for (value, wanted) in [
            (0.0, 0.0),
            (1483.666, 1480.0),
            (0.000_123_456, 0.000_123),
            (0.999_9, 1.0),
            (0.153_703_3, 0.154),
            (-12.345, -12.3),
            (1e-300, 1e-300),
        ] {
            assert!((significant(value) - wanted).abs() <= f64::EPSILON * wanted.abs(), "{value}");
        }
        assert!(significant(f64::NAN).is_nan());
    }

    proptest! {
        #[test]
        fn an_interval_holds_its_rate(counts in vec((0u32..1_000_000, 0.001..200.0f64), 1..4)) {
            let counts: Vec<_> = counts.into_iter().map(|(posts, hours)| Count { posts: posts.into(), hours }).collect();
            let (rate, interval) = (rate(&counts), rate_interval(&counts).expect("an interval"));
            prop_assert!(interval.low.is_finite() && interval.high.is_finite());
            prop_assert!(0.0 <= interval.low && interval.low <= rate && rate < interval.high, "{rate} {interval:?}");
        }

        #[test]
        fn an_interval_holds_its_ratio(
            x in 0u32..200_000, y in 1u32..200_000, hours in 0.1..24.0f64, other in 0.1..24.0f64,
        ) {
            let found = ratio(Count { posts: x.into(), hours }, Count { posts: y.into(), hours: other });
            let Ratio { value, interval } = found.expect("a ratio");
            prop_assert!(value.is_finite() && interval.low.is_finite() && interval.high.is_finite());
            prop_assert!(0.0 <= interval.low && interval.low <= value && value < interval.high, "{value} {interval:?}");
        }

        #[test]
        fn a_number_above_zero_is_never_rounded_to_zero(value in 1e-12..1e12f64) {
            let rounded = significant(value);
            prop_assert!(rounded > 0.0 && (rounded / value - 1.0).abs() <= 0.005_001);
        }
    }
}
