//! Chooses round values and times for the lines of a grid, and their labels.

use chrono::{DateTime, Datelike, Months, NaiveTime, TimeDelta, Timelike, Utc};

use super::super::number;

const MAX_TICKS: f64 = 6.0;
const MAX_TIMES: i32 = 8;

/// Values from bottom to top.
pub struct Scale {
    pub low: f64,
    pub high: f64,
    pub ticks: Vec<f64>,
    decimals: usize,
}

impl Scale {
    /// Spans these values, with lines at round numbers (Heckbert, "Nice numbers for graph labels", Graphics Gems, 1990).
    pub fn new(lowest: f64, highest: f64) -> Self {
        let span = highest - lowest;
        // Puts a flat line in the middle.
        let room = if span > highest.abs().max(lowest.abs()) * 1e-9 {
            span * 0.06
        } else {
            (highest.abs() * 0.01).max(1e-9)
        };
        let (low, high) = (lowest - room, highest + room);
        let step = nice((high - low) / MAX_TICKS);
        let first = (low / step).ceil();
        let ticks =
            (0..10).map(|index| (first + f64::from(index)) * step).take_while(|tick| *tick <= high).collect();
        // As many decimals as the step has: 0.25 needs two.
        let is_whole = |decimals: &i32| {
            let scaled = step * 10f64.powi(*decimals);
            (scaled - scaled.round()).abs() < 1e-6 * scaled
        };
        let decimals = (0..13).find(is_whole).and_then(|found| usize::try_from(found).ok()).unwrap_or(12);
        Self { low, high, ticks, decimals }
    }

    pub fn label(&self, tick: f64) -> String {
        number::with_decimals(tick, self.decimals)
    }
}

/// Rounds up to 1, 2, 2.5 or 5 times a power of ten.
fn nice(value: f64) -> f64 {
    let power = 10f64.powf(value.log10().floor());
    let factor = [1.0, 2.0, 2.5, 5.0].into_iter().find(|factor| factor * power >= value * (1.0 - 1e-9));
    factor.unwrap_or(10.0) * power
}

/// Returns round times within the span, with their labels.
pub fn times(from: DateTime<Utc>, to: DateTime<Utc>) -> Vec<(DateTime<Utc>, String)> {
    const HOURS: [i64; 9] = [1, 2, 3, 6, 12, 24, 48, 96, 168];
    let span = to - from;
    let step = HOURS.into_iter().map(TimeDelta::hours).find(|step| *step * MAX_TIMES >= span);
    let ticks = match step {
        Some(step) => even(from, to, step),
        None => months(from, to),
    };
    let by_month = step.is_none();
    ticks.into_iter().map(|at| (at, label(at, by_month))).collect()
}

/// Returns multiples of the step, counted from the midnight before `from`.
fn even(from: DateTime<Utc>, to: DateTime<Utc>, step: TimeDelta) -> Vec<DateTime<Utc>> {
    let midnight = from.with_time(NaiveTime::MIN).single().unwrap_or(from);
    let ticks = (0..1000).map(|index| midnight + step * index);
    ticks.skip_while(|at| *at < from).take_while(|at| *at <= to).collect()
}

fn months(from: DateTime<Utc>, to: DateTime<Utc>) -> Vec<DateTime<Utc>> {
    let first = from.with_time(NaiveTime::MIN).single().and_then(|day| day.with_day(1)).unwrap_or(from);
    let every = if to - from > TimeDelta::days(200) { 2 } else { 1 };
    let ticks = (0..24).filter_map(|index| first.checked_add_months(Months::new(index)));
    let is_wanted = |at: &DateTime<Utc>| at.month0().is_multiple_of(every);
    ticks.filter(is_wanted).skip_while(|at| *at < from).take_while(|at| *at <= to).collect()
}

fn label(at: DateTime<Utc>, by_month: bool) -> String {
    let format = match () {
        () if by_month && at.month() == 1 => "%Y",
        () if by_month => "%b",
        () if at.hour() == 0 => "%-d %b",
        () => "%H:%M",
    };
    at.format(format).to_string()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_scale_has_two_to_seven_lines(low in -1e12..1e12f64, span in 0.0..1e12f64) {
            let scale = Scale::new(low, low + span);
            prop_assert!(scale.low < low && scale.high > low + span);
            prop_assert!((2..=7).contains(&scale.ticks.len()), "{:?}", scale.ticks);
            prop_assert!(scale.ticks.iter().all(|tick| (scale.low..=scale.high).contains(tick)));
        }
    }

    #[test]
    fn lines_are_at_round_numbers_with_as_many_decimals_as_they_need() {
        let labels = |low, high| {
            let scale = Scale::new(low, high);
            scale.ticks.iter().map(|tick| scale.label(*tick)).collect::<Vec<_>>()
        };
        assert_eq!(labels(68_000.0, 71_000.0), ["68,000", "69,000", "70,000", "71,000"]);
        assert_eq!(labels(-0.2, 0.3), ["\u{2212}0.2", "\u{2212}0.1", "0.0", "0.1", "0.2", "0.3"]);
        let small = ["0.0000080", "0.0000082", "0.0000084", "0.0000086", "0.0000088", "0.0000090"];
        assert_eq!(labels(0.000_008, 0.000_009), small);
        assert_eq!(labels(0.0, 1.3), ["0.00", "0.25", "0.50", "0.75", "1.00", "1.25"]);
    }

    #[test]
    fn times_are_round_and_few() {
        let from: DateTime<Utc> = "2026-11-13T14:35:00Z".parse().expect("time");
        let labels = |hours| {
            times(from, from + TimeDelta::hours(hours))
                .into_iter()
                .map(|(_, label)| label)
                .collect::<Vec<_>>()
        };
        assert_eq!(labels(24), ["15:00", "18:00", "21:00", "14 Nov", "03:00", "06:00", "09:00", "12:00"]);
        assert_eq!(labels(24 * 7).len(), 7);
        assert_eq!(labels(24 * 90), ["Dec", "2027", "Feb"]);
        assert_eq!(labels(24 * 365), ["2027", "Mar", "May", "Jul", "Sep", "Nov"]);
        for hours in [24, 24 * 7, 24 * 30, 24 * 90, 24 * 365] {
            assert!((3..=9).contains(&labels(hours).len()), "{hours}: {:?}", labels(hours));
        }
    }
}
