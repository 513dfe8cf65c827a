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
    /// Name and symbol of the coin: text of a provider.
    pub title: String,
    pub metric: Metric,
    pub currency: &'a str,
    pub in_words: &'static str,
    pub span: (DateTime<Utc>, DateTime<Utc>),
    /// Time from one point to the next, if none is missing.
    pub spacing: TimeDelta,
    pub series: Vec<Mark>,
    /// The 95% confidence interval of the last value.
    pub interval: Option<(f64, f64)>,
    pub attribution: Option<&'static str>,
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
        format!("{}: {} of the last {}", printable(&self.title), self.metric.as_str(), self.in_words)
    }

    /// The name of the coin, cut to a number of characters.
    pub fn shortened_title(&self, max_len: usize) -> String {
        let title = printable(&self.title);
        if title.chars().count() <= max_len {
            return title;
        }
        title.chars().take(max_len.saturating_sub(1)).chain(['\u{2026}']).collect()
    }

    /// All that the image shows, for screen readers.
    pub fn description(&self) -> String {
        let (Some((lowest, highest)), Some(last)) = (self.extremes(), self.series.last()) else {
            return format!("{}. No data yet.", self.counts());
        };
        let [lowest, highest, value] = [lowest, highest, last.value].map(|value| self.unit().measured(value));
        let time = last.at.format("%-d %B %Y, %H:%M UTC");
        let mut text =
            format!("{}. Lowest {lowest}, highest {highest}, last {value} on {time}.", self.counts());
        if let Some(Change::Up(percent) | Change::Down(percent)) = self.change() {
            let side = if percent < 0.0 { "Down" } else { "Up" };
            let _ = write!(text, " {side} {}%.", number::with_decimals(percent.abs(), 2));
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
        let write = |value| self.unit().measured(value);
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
