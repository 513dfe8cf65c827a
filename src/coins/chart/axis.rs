//! Chooses round values and times for the lines of a grid, and their labels.

use std::iter::successors;

use chrono::{DateTime, Datelike, Months, NaiveTime, TimeDelta, Timelike, Utc};

use super::super::{number, unit::Unit};

/// The largest number of a scale, and the smallest difference that is no flat line: with others, a quotient may be 0 or
/// infinite.
const MAX: f64 = 1e300;
const MIN_SPAN: f64 = 1e-300;

/// Values from bottom to top.
pub struct Scale {
    pub low: f64,
    pub high: f64,
    pub ticks: Vec<f64>,
    /// What labels are divided by, its letter, and their decimals.
    short: (f64, &'static str, usize),
}

impl Scale {
    /// Spans these values, with 2 to about `max_ticks` lines at round numbers (Heckbert, "Nice numbers for graph labels",
    /// Graphics Gems, 1990).
    pub fn new(lowest: f64, highest: f64, max_ticks: u8) -> Self {
        let (lowest, highest) = (lowest.clamp(-MAX, MAX), highest.clamp(-MAX, MAX));
        let span = highest - lowest;
        let is_flat = span <= MIN_SPAN.max(highest.abs().max(lowest.abs()) * 1e-9);
        // Puts a flat line in the middle.
        let room = if is_flat { (highest.abs() * 0.01).max(1e-9) } else { span * 0.06 };
        let (low, high) = (lowest - room, highest + room);
        let steps = successors(Some(nice((high - low) / f64::from(max_ticks))), |step| Some(finer(*step)));
        let mut grid = steps.take(8).map(|step| (step, multiples(step, low, high)));
        let (step, ticks) = grid.find(|(_, ticks)| ticks.len() >= 2).unwrap_or((high - low, vec![low, high]));
        let largest = ticks.iter().map(|tick| tick.abs()).fold(0.0, f64::max);
        Self { low, high, ticks, short: shortest(step, largest) }
    }

    /// Such as `£70K`.
    pub fn label(&self, tick: f64, unit: Unit) -> String {
        let (divisor, letter, decimals) = self.short;
        unit.signed(&format!("{}{letter}", number::with_decimals(tick / divisor, decimals)))
    }
}

fn multiples(step: f64, low: f64, high: f64) -> Vec<f64> {
    let first = (low / step).ceil();
    (0..12).map(|index| (first + f64::from(index)) * step).take_while(|tick| *tick <= high).collect()
}

/// Rounds up to 1, 2, 2.5 or 5 times a power of ten.
fn nice(value: f64) -> f64 {
    let power = 10f64.powf(value.log10().floor());
    let factor = [1.0, 2.0, 2.5, 5.0].into_iter().find(|factor| factor * power >= value * (1.0 - 1e-9));
    factor.unwrap_or(10.0) * power
}

/// The next smaller of the numbers that [`nice`] returns, or one below that.
fn finer(step: f64) -> f64 {
    nice(step * 0.39)
}

/// Chooses thousands, millions and so on, if the labels get shorter by it.
fn shortest(step: f64, largest: f64) -> (f64, &'static str, usize) {
    let units = [(1e12, "T", 1e12), (1e9, "B", 1e9), (1e6, "M", 1e6), (1e3, "K", 1e4)];
    let mut fitting = units.into_iter().filter(|(_, _, least)| largest >= *least);
    let short = fitting.find_map(|(divisor, letter, _)| {
        let decimals = decimals(step / divisor);
        (decimals <= 1).then_some((divisor, letter, decimals))
    });
    short.unwrap_or_else(|| (1.0, "", decimals(step)))
}

/// As many decimals as the step has: 0.25 needs two.
fn decimals(step: f64) -> usize {
    let is_whole = |decimals: &i32| {
        let scaled = step * 10f64.powi(*decimals);
        (scaled - scaled.round()).abs() < 1e-6 * scaled
    };
    (0..13).find(is_whole).and_then(|found| usize::try_from(found).ok()).unwrap_or(12)
}

/// Returns at most `max` round times within the span, with their labels.
pub fn times(from: DateTime<Utc>, to: DateTime<Utc>, max: u8) -> Vec<(DateTime<Utc>, String)> {
    const HOURS: [i64; 10] = [1, 2, 3, 6, 12, 24, 48, 96, 168, 336];
    /// From here on, the beginnings of months.
    const LONG: TimeDelta = TimeDelta::days(80);
    let span = to - from;
    let by_month = span >= LONG;
    let ticks = if by_month {
        months(from, to, max)
    } else {
        let fits = |hours: &i64| TimeDelta::hours(*hours) * i32::from(max) >= span;
        let fitting = HOURS.iter().position(fits).unwrap_or(HOURS.len() - 1);
        let ticks = |index: usize| even(from, to, TimeDelta::hours(HOURS[index]));
        let few = ticks(fitting);
        if few.len() < 2 { ticks(fitting.saturating_sub(1)) } else { few }
    };
    ticks.into_iter().map(|at| (at, label(at, by_month))).collect()
}

/// Returns multiples of the step, counted from the midnight before `from`.
fn even(from: DateTime<Utc>, to: DateTime<Utc>, step: TimeDelta) -> Vec<DateTime<Utc>> {
    let midnight = from.with_time(NaiveTime::MIN).single().unwrap_or(from);
    let ticks = (0..1000).map(|index| midnight + step * index);
    ticks.skip_while(|at| *at < from).take_while(|at| *at <= to).collect()
}

/// Returns the beginnings of every month, or of every second, third, fourth or sixth.
fn months(from: DateTime<Utc>, to: DateTime<Utc>, max: u8) -> Vec<DateTime<Utc>> {
    let first = from.with_time(NaiveTime::MIN).single().and_then(|day| day.with_day(1)).unwrap_or(from);
    let ticks = (0..24).filter_map(|index| first.checked_add_months(Months::new(index)));
    let all: Vec<_> = ticks.skip_while(|at| *at < from).take_while(|at| *at <= to).collect();
    let every = |n: u32| all.iter().copied().filter(|at| at.month0().is_multiple_of(n)).collect::<Vec<_>>();
    [1, 2, 3, 4]
        .into_iter()
        .map(every)
        .find(|some| some.len() <= usize::from(max))
        .unwrap_or_else(|| every(6))
}

fn label(at: DateTime<Utc>, by_month: bool) -> String {
    let format = if by_month && at.month() == 1 {
        "%Y"
    } else if by_month {
        "%b"
    } else if at.hour() == 0 {
        "%-d %b"
    } else {
        "%H:%M"
    };
    at.format(format).to_string()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_scale_has_two_lines_or_a_few_more(low in -1e12..1e12f64, span in 0.0..1e12f64, max in 2..=8u8) {
            let scale = Scale::new(low, low + span, max);
            prop_assert!(scale.low < low && scale.high > low + span);
            prop_assert!((2..=usize::from(max.max(4)) + 1).contains(&scale.ticks.len()), "{:?}", scale.ticks);
            prop_assert!(scale.ticks.iter().all(|tick| (scale.low..=scale.high).contains(tick)));
            let labels: Vec<_> =
                scale.ticks.iter().map(|tick| scale.label(*tick, Unit::Money("GBP"))).collect();
            let mut distinct = labels.clone();
            distinct.dedup();
            prop_assert_eq!(&distinct, &labels);
        }
    }

    #[test]
    fn a_scale_of_any_numbers_ends_above_and_below_them_and_has_few_lines() {
        for (low, high) in [
            (5e-324, 1e-323),
            (0.0, 5e-324),
            (-5e-324, 5e-324),
            (0.0, 0.0),
            (1e-320, 2e-320),
            (1e-300, 1e-299),
            (70_000.0, 70_000.0),
            (1e15, 1e15 + 0.125),
            (1e21, 1e21),
            (0.0, f64::MAX),
            (f64::MIN, f64::MAX),
            (f64::MAX, f64::MAX),
        ] {
            for max in 2..=8 {
                let scale = Scale::new(low, high, max);
                let ticks = &scale.ticks;
                assert!((2..=12).contains(&ticks.len()), "{low:e} to {high:e}: {ticks:?}");
                assert!(ticks.is_sorted_by(|one, next| one < next), "{low:e} to {high:e}: {ticks:?}");
                assert!(
                    (scale.high - scale.low).is_finite() && scale.high > scale.low,
                    "{low:e} to {high:e}"
                );
                if high < 1e300 {
                    assert!(scale.low < low && scale.high > high, "{low:e} to {high:e}");
                }
            }
        }
    }

    #[test]
    fn lines_are_at_round_numbers_with_as_many_decimals_as_they_need() {
        let labels = |low, high, code| {
            let scale = Scale::new(low, high, 6);
            scale.ticks.iter().map(|tick| scale.label(*tick, Unit::Money(code))).collect::<Vec<_>>()
        };
        assert_eq!(labels(68_000.0, 71_000.0, "GBP"), ["\u{a3}68K", "\u{a3}69K", "\u{a3}70K", "\u{a3}71K"]);
        assert_eq!(labels(69_700.0, 70_900.0, "CHF"), ["69,750", "70,000", "70,250", "70,500", "70,750"]);
        assert_eq!(labels(1.1e9, 1.7e9, "USD")[..2], ["$1.2B", "$1.4B"]);
        assert_eq!(labels(-0.2, 0.3, "USD")[..3], ["\u{2212}$0.2", "\u{2212}$0.1", "$0.0"]);
        let small = ["0.0000080", "0.0000082", "0.0000084", "0.0000086", "0.0000088", "0.0000090"];
        assert_eq!(labels(0.000_008, 0.000_009, "CHF"), small);
    }

    #[test]
    fn times_are_round_and_few() {
        let from: DateTime<Utc> = "2026-11-13T14:35:00Z".parse().expect("time");
        let labels = |hours, max| {
            times(from, from + TimeDelta::hours(hours), max)
                .into_iter()
                .map(|(_, label)| label)
                .collect::<Vec<_>>()
        };
        assert_eq!(labels(24, 8), ["15:00", "18:00", "21:00", "14 Nov", "03:00", "06:00", "09:00", "12:00"]);
        assert_eq!(labels(24 * 7, 8).len(), 7);
        assert_eq!(labels(24 * 90, 8), ["Dec", "2027", "Feb"]);
        assert_eq!(labels(24 * 365, 8), ["2027", "Mar", "May", "Jul", "Sep", "Nov"]);
        for max in 3..=8 {
            for hours in [24, 24 * 7, 24 * 30, 24 * 90, 24 * 365] {
                let labels = labels(hours, max);
                assert!((2..=usize::from(max) + 1).contains(&labels.len()), "{hours}, {max}: {labels:?}");
            }
        }
    }
}
