//! Makes numbers that look random and depend only on their arguments, so that no state has to be kept.
//!
//! [`walk`] looks like the path of a price: it is a sum of noises, each twice as fast as the one before, with half its
//! variance. So its changes within a time have a variance in proportion to that time, like a random walk, but it stays
//! within bounds, and its value at any time takes the same few steps to compute.

/// Mixes 64 bits (`SplitMix64`; Steele, Lea and Flood 2014).
pub fn mix(seed: u64, value: u64) -> u64 {
    let mut bits = seed ^ value.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

/// Returns a number from 0 (inclusive) to 1 (exclusive).
pub fn fraction(seed: u64, value: u64) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "53 bits are exact")]
    let (bits, range) = ((mix(seed, value) >> 11) as f64, (1_u64 << 53) as f64);
    bits / range
}

/// Returns a number from -1 (inclusive) to 1 (exclusive).
pub fn signed(seed: u64, value: u64) -> f64 {
    fraction(seed, value).mul_add(2.0, -1.0)
}

/// Returns noise at a time, from -1 to 1, that has other values after each power of two of milliseconds from `fastest` to
/// `slowest`. The standard deviation is about a sixth; it is continuous.
pub fn walk(seed: u64, millis: i64, fastest: u32, slowest: u32) -> f64 {
    let (mut sum, mut all, mut weight) = (0.0, 0.0, 1.0);
    for level in (fastest..=slowest).rev() {
        sum += weight * at_level(mix(seed, u64::from(level)), millis, level);
        all += weight;
        weight *= std::f64::consts::FRAC_1_SQRT_2;
    }
    sum / all
}

/// Returns noise that goes straight from one random value to the next one within 2^`level` milliseconds.
fn at_level(seed: u64, millis: i64, level: u32) -> f64 {
    let period = 1_i64 << level;
    // The values of the levels must not coincide.
    let phase = i64::try_from(mix(seed, 0) >> (64 - level)).expect("less than a period");
    let since = millis.wrapping_add(phase);
    let (index, rest) = (since.div_euclid(period), since.rem_euclid(period));
    #[expect(clippy::cast_precision_loss, reason = "periods are below 2^53 milliseconds")]
    let part = rest as f64 / period as f64;
    let value = |index: i64| signed(seed, index.cast_unsigned());
    let (from, to) = (value(index), value(index + 1));
    (to - from).mul_add(part, from)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_walk_is_bounded_continuous_and_the_same_every_time(seed: u64, millis in 0..10_i64.pow(16)) {
            let value = walk(seed, millis, 13, 33);
            prop_assert!((-1.0..=1.0).contains(&value));
            prop_assert_eq!(value.to_bits(), walk(seed, millis, 13, 33).to_bits());
            prop_assert!((walk(seed, millis + 1, 13, 33) - value).abs() < 1e-4);
        }
    }

    #[test]
    fn seeds_and_values_give_other_numbers() {
        let mut numbers: Vec<u64> =
            (0..100).flat_map(|seed| (0..100).map(move |value| mix(seed, value))).collect();
        numbers.sort_unstable();
        numbers.dedup();
        assert_eq!(numbers.len(), 10_000);
    }

    #[test]
    fn fractions_are_even() {
        let mean = (0..10_000).map(|value| fraction(7, value)).sum::<f64>() / 10_000.0;
        assert!((mean - 0.5).abs() < 0.01, "{mean}");
    }
}
