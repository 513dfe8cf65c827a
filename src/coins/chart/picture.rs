//! What a chart shows, in numbers and words.

use std::fmt::Write;

use chrono::{DateTime, TimeDelta, Utc};

use super::{
    super::{history::Metric, number, unit::Unit},
    Mark,
    axis::Scale,
    colours::Colours,
};
use crate::http::is_deceptive;

/// The content of a chart.
pub struct Picture<'a> {
    /// Name and symbol of the coin: texts of a provider.
    pub name: String,
    pub symbol: String,
    pub metric: Metric,
    pub currency: &'a str,
    pub in_words: &'static str,
    pub span: (DateTime<Utc>, DateTime<Utc>),
    /// Time from one point to the next, if none is missing.
    pub spacing: TimeDelta,
    pub series: Vec<Mark>,
    /// The 95% confidence interval of the last value.
    pub interval: Option<(f64, f64)>,
    /// Names the sources of the values.
    pub credits: Vec<String>,
    /// Whether the values are invented.
    pub simulated: bool,
}

/// The change from the first to the last price.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Change {
    Up(f64),
    Down(f64),
    /// Less than can be shown.
    None,
}

impl Change {
    fn of(percent: f64) -> Self {
        if percent.abs() < 0.005 {
            Self::None
        } else if percent > 0.0 {
            Self::Up(percent)
        } else {
            Self::Down(percent)
        }
    }

    /// Such as `▲ +2.31%`: the direction must be seen without colours too (WCAG 2.2, 1.4.1).
    pub fn text(self) -> String {
        match self {
            Self::Up(percent) => format!("\u{25b2} +{}%", number::with_decimals(percent, 2)),
            Self::Down(percent) => format!("\u{25bc} {}%", number::with_decimals(percent, 2)),
            Self::None => "0.00%".into(),
        }
    }

    pub fn colour(self, colours: &Colours) -> &'static str {
        match self {
            Self::Up(_) => colours.up,
            Self::Down(_) => colours.down,
            Self::None => colours.muted,
        }
    }
}

impl Picture<'_> {
    /// The name for screen readers.
    pub fn heading(&self) -> String {
        let kind = if self.simulated { "SIMULATED: " } else { "" };
        format!("{kind}{}: {} of the last {}", self.title(), self.metric.as_str(), self.in_words)
    }

    fn title(&self) -> String {
        format!("{} ({})", printable(&self.name), printable(&self.symbol))
    }

    /// Name and symbol of the coin in a number of characters: a long name is cut, the symbol stays.
    pub fn shortened_title(&self, max_len: usize) -> String {
        /// Of the name, with the sign of the cut.
        const LEAST: usize = 4;
        let title = self.title();
        if title.chars().count() <= max_len {
            return title;
        }
        let cut = |text: &str, len: usize| -> String {
            text.chars().take(len.saturating_sub(1)).chain(['\u{2026}']).collect()
        };
        let symbol = format!(" ({})", printable(&self.symbol));
        match max_len.checked_sub(symbol.chars().count()) {
            Some(rest) if rest >= LEAST => cut(&printable(&self.name), rest) + &symbol,
            _ => cut(&title, max_len),
        }
    }

    /// All that the image shows, for screen readers.
    pub fn description(&self) -> String {
        let (Some((lowest, highest)), Some(last)) = (self.extremes(), self.series.last()) else {
            return format!("{}. No data yet.", self.counts());
        };
        let [lowest, highest, value] = [lowest, highest, last.value].map(|value| self.unit().drawn(value));
        let time = last.at.format("%-d %B %Y, %H:%M UTC");
        let mut text =
            format!("{}. Lowest {lowest}, highest {highest}, last {value} on {time}.", self.counts());
        if let Some(Change::Up(percent) | Change::Down(percent)) = self.change() {
            let side = if percent < 0.0 { "Down" } else { "Up" };
            let since = self.since().map(|since| format!(" {since}")).unwrap_or_default();
            let _ = write!(text, " {side} {}%{since}.", number::with_decimals(percent.abs(), 2));
        }
        if last.is_partial {
            let length = if self.spacing < TimeDelta::days(1) { "hour" } else { "day" };
            let _ = write!(
                text,
                " The last point is of the current {length}, which is not over: no line leads to it."
            );
        }
        text
    }

    pub fn unit(&self) -> Unit<'_> {
        Unit::of(self.metric, self.currency)
    }

    /// What the numbers count.
    pub fn counts(&self) -> String {
        match self.metric {
            Metric::Price => format!("Price in {}", self.currency),
            Metric::Sentiment => "Sentiment, from \u{2212}1 to 1".into(),
            Metric::Popularity => "Popularity, as a ratio to bitcoin\u{2019}s".into(),
        }
    }

    /// The lowest and the highest value, with the lows and highs of prices.
    pub fn extremes(&self) -> Option<(f64, f64)> {
        let lowest = self.series.iter().map(|mark| mark.low).reduce(f64::min)?;
        let highest = self.series.iter().map(|mark| mark.high).reduce(f64::max)?;
        Some((lowest, highest))
    }

    /// Spans these values. A scale of sentiment is never so short that its labels need more digits than the data has: noise
    /// would look like a trend.
    pub fn scale(&self, lowest: f64, highest: f64, max_ticks: u8) -> Scale {
        const SHORTEST: f64 = 0.2;
        let missing = match self.metric {
            Metric::Sentiment => (SHORTEST - (highest - lowest)).max(0.0),
            Metric::Price | Metric::Popularity => 0.0,
        };
        Scale::new(lowest - missing / 2.0, highest + missing / 2.0, max_ticks)
    }

    /// Returns the change from the first to the last price; only amounts change by percents.
    pub fn change(&self) -> Option<Change> {
        let [first, .., last] = self.series.as_slice() else { return None };
        let is_amount = self.metric == Metric::Price && first.value > 0.0;
        is_amount.then(|| Change::of((last.value / first.value - 1.0) * 100.0))
    }

    /// Such as `since 14 Nov`, or `since 09:30` within a day; None if there are values since the start of the time span.
    pub fn since(&self) -> Option<String> {
        let first = self.series.first()?.at;
        let (from, to) = self.span;
        // The first whole interval begins within a step of the start, and its value is of its end.
        if first - from <= self.spacing * 2 {
            return None;
        }
        let format = if to - first < TimeDelta::days(1) { "%H:%M" } else { "%-d %b" };
        Some(format!("since {}", first.format(format)))
    }

    /// The change and its beginning, such as `▲ +2.31% since 14 Nov`.
    pub fn change_text(&self) -> Option<String> {
        let change = self.change()?.text();
        Some(self.since().map_or_else(|| change.clone(), |since| format!("{change} {since}")))
    }

    /// Prices that rise or fall have the colour of that.
    pub fn line(&self, colours: &Colours) -> &'static str {
        match self.change() {
            Some(change @ (Change::Up(_) | Change::Down(_))) => change.colour(colours),
            Some(Change::None) | None => colours.line,
        }
    }

    /// The texts below the plot: lowest and highest value, and the interval.
    pub fn summary(&self) -> Vec<String> {
        let Some((lowest, highest)) = self.extremes() else { return Vec::new() };
        let write = |value| self.unit().drawn(value);
        let mut parts = vec![format!("Low {}", write(lowest)), format!("High {}", write(highest))];
        if let Some((low, high)) = self.interval {
            parts.push(format!("95% interval {} to {}", write(low), write(high)));
        }
        parts
    }
}

/// Removes characters that XML cannot hold (XML 1.0, section 2.2) or that disguise text. The template escapes the rest.
fn printable(text: &str) -> String {
    text.chars().filter(|c| !is_deceptive(*c) && !matches!(c, '\u{fffe}' | '\u{ffff}')).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn picture(name: &str, symbol: &str, days: i32, first: &str) -> Picture<'static> {
        let now: DateTime<Utc> = "2026-11-20T12:05:00Z".parse().expect("time");
        let mark = |at: DateTime<Utc>, value| Mark { at, low: value, high: value, value, is_partial: false };
        Picture {
            name: name.into(),
            symbol: symbol.into(),
            metric: Metric::Price,
            currency: "GBP",
            in_words: "7 days",
            span: (now - TimeDelta::days(days.into()), now),
            spacing: TimeDelta::hours(1),
            series: vec![mark(first.parse().expect("time"), 100.0), mark(now, 108.114)],
            interval: None,
            credits: Vec::new(),
            simulated: false,
        }
    }

    #[test]
    fn a_change_is_of_the_time_that_the_data_has() {
        for (days, first, text) in [
            (7, "2026-11-13T13:00:00Z", "\u{25b2} +8.11%"),
            (7, "2026-11-13T14:00:00Z", "\u{25b2} +8.11%"),
            (7, "2026-11-14T00:00:00Z", "\u{25b2} +8.11% since 14 Nov"),
            (365, "2026-11-14T00:00:00Z", "\u{25b2} +8.11% since 14 Nov"),
            (7, "2026-11-20T09:30:00Z", "\u{25b2} +8.11% since 09:30"),
            (7, "2026-11-19T12:06:00Z", "\u{25b2} +8.11% since 12:06"),
        ] {
            let picture = picture("X", "X", days, first);
            assert_eq!(picture.change_text().as_deref(), Some(text), "{first}");
            let (_, change) = text.split_once('+').expect("a sign");
            assert!(picture.description().contains(&format!(" Up {change}.")), "{}", picture.description());
        }
    }

    #[test]
    fn a_long_name_is_cut_and_the_symbol_stays() {
        let title = |name, symbol, len| picture(name, symbol, 7, "2026-11-20T09:30:00Z").shortened_title(len);
        assert_eq!(title("Bitcoin", "BTC", 13), "Bitcoin (BTC)");
        assert_eq!(title("Wrapped Liquid Staked Ether", "WSTETH", 20), "Wrapped Li\u{2026} (WSTETH)");
        assert_eq!(title("Bitcoin", "BTC", 10), "Bit\u{2026} (BTC)");
        let long = "S".repeat(100);
        assert_eq!(title("Bitcoin", &long, 12), "Bitcoin (SS\u{2026}");
        assert_eq!(title("Bitcoin", "BTC", 1), "\u{2026}");
    }

    #[test]
    fn a_change_has_a_sign_besides_its_colour() {
        for (percent, text) in [
            (2.314, "\u{25b2} +2.31%"),
            (-0.51, "\u{25bc} \u{2212}0.51%"),
            (0.004, "0.00%"),
            (-0.004, "0.00%"),
            (1234.5, "\u{25b2} +1,234.50%"),
        ] {
            assert_eq!(Change::of(percent).text(), text);
        }
    }
}
