//! Computes a chart's texts and coordinates; `chart.svg` is the markup around them.

use std::fmt::{self, Display, Formatter, Write};

use askama::Template;
use chrono::{DateTime, TimeDelta, Utc};

use super::{
    super::{history::Metric, number, unit::Unit},
    Mark, Theme,
    axis::{Scale, times},
};
use crate::http::is_deceptive;

const WIDTH: f64 = 720.0;
const HEIGHT: f64 = 380.0;
const MARGIN: f64 = 20.0;
const TOP: f64 = 84.0;
const BOTTOM: f64 = 318.0;
const RIGHT: f64 = WIDTH - MARGIN;
/// Width in pixels of a digit of 12 pixels, in about any font.
const DIGIT_WIDTH: f64 = 7.0;
/// In characters.
const MAX_TITLE_LEN: usize = 42;

struct Colours {
    ground: &'static str,
    text: &'static str,
    muted: &'static str,
    grid: &'static str,
    line: &'static str,
    up: &'static str,
    down: &'static str,
}

/// Text has a contrast of at least 4.5 to the ground (WCAG 2.2, 1.4.3).
const LIGHT: Colours = Colours {
    ground: "#ffffff",
    text: "#1c1e21",
    muted: "#5f656d",
    grid: "#e6e8eb",
    line: "#1f5fd0",
    up: "#0a7d3c",
    down: "#c02b2b",
};
const DARK: Colours = Colours {
    ground: "#15181d",
    text: "#e8eaed",
    muted: "#9aa1aa",
    grid: "#2a2f37",
    line: "#6ea8ff",
    up: "#4cc38a",
    down: "#ff7b72",
};

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

impl Picture<'_> {
    /// Returns the SVG document.
    pub fn draw(&self, theme: Theme) -> String {
        let colours = match theme {
            Theme::Light => &LIGHT,
            Theme::Dark => &DARK,
        };
        let title = printable(&self.title);
        let drawing = Drawing {
            colours,
            heading: format!("{title}: {} of the last {}", self.metric.as_str(), self.in_words),
            description: self.description(),
            title: shortened(title),
            subtitle: format!("{} \u{b7} last {} \u{b7} UTC", self.unit(), self.in_words),
            last_value: self.series.last().map(|last| self.number(last.value)),
            change: self.change(colours),
            plot: self.plot(),
            summary: self.summary(),
            attribution: self.attribution,
        };
        drawing.render().expect("writing into memory does not fail")
    }

    fn description(&self) -> String {
        let (Some((lowest, highest)), Some(last)) = (self.extremes(), self.series.last()) else {
            return format!("{}. No data yet.", self.unit());
        };
        let [lowest, highest, value] = [lowest, highest, last.value].map(|value| self.number(value));
        let time = last.at.format("%-d %B %Y, %H:%M UTC");
        format!("{}. Lowest {lowest}, highest {highest}, last {value} on {time}.", self.unit())
    }

    fn number(&self, value: f64) -> String {
        Unit::of(self.metric, self.currency).measured(value)
    }

    fn unit(&self) -> String {
        match self.metric {
            Metric::Price => format!("Price in {}", self.currency),
            Metric::Sentiment => "Sentiment, from \u{2212}1 to 1".into(),
            Metric::Popularity => "Popularity, as a ratio to bitcoin\u{2019}s".into(),
        }
    }

    fn extremes(&self) -> Option<(f64, f64)> {
        let lowest = self.series.iter().map(|mark| mark.low).reduce(f64::min)?;
        let highest = self.series.iter().map(|mark| mark.high).reduce(f64::max)?;
        Some((lowest, highest))
    }

    /// Returns the change from the first to the last price; only amounts change by percents.
    fn change(&self, colours: &Colours) -> Option<Change> {
        let [first, .., last] = self.series.as_slice() else { return None };
        if self.metric != Metric::Price || first.value <= 0.0 {
            return None;
        }
        let change = (last.value / first.value - 1.0) * 100.0;
        let (sign, colour) = if change < 0.0 { ("", colours.down) } else { ("+", colours.up) };
        Some(Change { colour, percent: format!("{sign}{}%", number::with_decimals(change, 2)) })
    }

    fn plot(&self) -> Option<Plot> {
        let frame = self.frame()?;
        let last = self.series.last()?;
        let row = |tick: &f64| Row {
            y: Px(frame.y(*tick)),
            label_y: Px(frame.y(*tick) + 4.0),
            is_zero: tick.abs() < 1e-12 && frame.scale.low < 0.0,
            label: frame.scale.label(*tick),
        };
        let column = |(at, label)| {
            let x = frame.x(at);
            // A label at the edge must not be cut.
            Column { x: Px(x), label_x: Px(x.clamp(frame.left, RIGHT - 16.0)), label }
        };
        let pieces = self.series.chunk_by(|a, b| b.at - a.at <= self.spacing * 3 / 2);
        Some(Plot {
            left: Px(frame.left),
            right: Px(RIGHT),
            bottom: Px(BOTTOM),
            label_x: Px(frame.left - 8.0),
            rows: frame.scale.ticks.iter().map(row).collect(),
            columns: times(self.span.0, self.span.1).into_iter().map(column).collect(),
            pieces: pieces.map(|piece| self.piece(piece, &frame)).collect(),
            last: (Px(frame.x(last.at)), Px(frame.y(last.value))),
            interval: self.interval.map(|(low, high)| {
                let x = frame.x(last.at).min(RIGHT - 4.0);
                IntervalBar { x: Px(x), left: Px(x - 4.0), low: Px(frame.y(low)), high: Px(frame.y(high)) }
            }),
        })
    }

    fn frame(&self) -> Option<Frame> {
        let (mut lowest, mut highest) = self.extremes()?;
        if let Some((low, high)) = self.interval {
            (lowest, highest) = (lowest.min(low), highest.max(high));
        }
        let scale = Scale::new(lowest, highest);
        #[expect(clippy::cast_precision_loss, reason = "a few characters")]
        let longest = scale.ticks.iter().map(|tick| scale.label(*tick).chars().count()).max()? as f64;
        let left = MARGIN + longest * DIGIT_WIDTH + 8.0;
        let (from, to) = self.span;
        Some(Frame { left, scale, from, seconds: (to - from).as_seconds_f64() })
    }

    fn piece(&self, marks: &[Mark], frame: &Frame) -> Piece {
        if let [only] = marks {
            return Piece::Dot { x: Px(frame.x(only.at)), y: Px(frame.y(only.value)) };
        }
        let band = (self.metric == Metric::Price).then(|| {
            let highs = marks.iter().map(|mark| (mark.at, mark.high));
            let lows = marks.iter().rev().map(|mark| (mark.at, mark.low));
            frame.path(highs.chain(lows))
        });
        Piece::Line { band, values: frame.path(marks.iter().map(|mark| (mark.at, mark.value))) }
    }

    fn summary(&self) -> Option<String> {
        let (lowest, highest) = self.extremes()?;
        let mut text = format!("Low {} \u{b7} High {}", self.number(lowest), self.number(highest));
        if let Some((low, high)) = self.interval {
            let _ = write!(text, " \u{b7} 95% interval {} to {}", self.number(low), self.number(high));
        }
        Some(text)
    }
}

/// Maps times and values to coordinates.
struct Frame {
    left: f64,
    scale: Scale,
    from: DateTime<Utc>,
    seconds: f64,
}

impl Frame {
    fn x(&self, at: DateTime<Utc>) -> f64 {
        let part = (at - self.from).as_seconds_f64() / self.seconds;
        self.left + part.clamp(0.0, 1.0) * (RIGHT - self.left)
    }

    fn y(&self, value: f64) -> f64 {
        let part = (value - self.scale.low) / (self.scale.high - self.scale.low);
        BOTTOM - part.clamp(0.0, 1.0) * (BOTTOM - TOP)
    }

    /// The `d` attribute of a polyline.
    fn path(&self, points: impl Iterator<Item = (DateTime<Utc>, f64)>) -> String {
        let mut text = String::new();
        for (index, (at, value)) in points.enumerate() {
            let command = if index == 0 { 'M' } else { 'L' };
            let _ = write!(text, "{command}{} {}", Px(self.x(at)), Px(self.y(value)));
        }
        text
    }
}

/// A coordinate in pixels, written with one decimal.
struct Px(f64);

impl Display for Px {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{:.1}", self.0)
    }
}

#[derive(Template)]
#[template(path = "coins/chart/chart.svg")]
struct Drawing {
    colours: &'static Colours,
    heading: String,
    description: String,
    title: String,
    subtitle: String,
    last_value: Option<String>,
    change: Option<Change>,
    /// None without data.
    plot: Option<Plot>,
    summary: Option<String>,
    attribution: Option<&'static str>,
}

struct Change {
    colour: &'static str,
    percent: String,
}

struct Plot {
    left: Px,
    right: Px,
    bottom: Px,
    /// Where the labels of rows end.
    label_x: Px,
    rows: Vec<Row>,
    columns: Vec<Column>,
    pieces: Vec<Piece>,
    /// The last value.
    last: (Px, Px),
    interval: Option<IntervalBar>,
}

/// A horizontal line of the grid.
struct Row {
    y: Px,
    label_y: Px,
    /// Whether it is the zero line between values of both signs, which is drawn darker.
    is_zero: bool,
    label: String,
}

/// A time on the axis.
struct Column {
    x: Px,
    label_x: Px,
    label: String,
}

/// Values without a gap between them.
enum Piece {
    Dot {
        x: Px,
        y: Px,
    },
    Line {
        /// Around the highs and lows of a price.
        band: Option<String>,
        values: String,
    },
}

struct IntervalBar {
    x: Px,
    left: Px,
    low: Px,
    high: Px,
}

/// Removes characters that XML cannot hold (XML 1.0, section 2.2) or that disguise text. The template escapes the rest.
fn printable(text: &str) -> String {
    text.chars().filter(|c| !is_deceptive(*c) && !matches!(c, '\u{fffe}' | '\u{ffff}')).collect()
}

fn shortened(mut title: String) -> String {
    if let Some((end, _)) = title.char_indices().nth(MAX_TITLE_LEN) {
        title.truncate(end);
        title.push('\u{2026}');
    }
    title
}

#[cfg(test)]
mod tests {
    use super::*;

    fn picture(title: &str, series: Vec<Mark>) -> Picture<'_> {
        Picture {
            title: title.into(),
            metric: Metric::Price,
            currency: "GBP",
            in_words: "24 hours",
            span: (noon() - TimeDelta::days(1), noon()),
            spacing: TimeDelta::minutes(5),
            series,
            interval: None,
            attribution: None,
        }
    }

    fn noon() -> DateTime<Utc> {
        "2026-11-20T12:00:00Z".parse().expect("time")
    }

    #[test]
    fn a_gap_ends_the_line_and_a_lone_value_is_a_dot() {
        let mark = |(minutes, value)| Mark {
            at: noon() - TimeDelta::minutes(minutes),
            low: value - 2.0,
            high: value + 2.0,
            value,
        };
        let series = [(60, 100.0), (55, 110.0), (50, 120.0), (10, 110.0)].map(mark).into();
        let svg = picture("Bitcoin (BTC)", series).draw(Theme::Light);
        for element in [
            "<path d=\"M672.9 270.6L675.1 183.6L677.4 96.5L677.4 131.4L675.1 218.4L672.9 305.5Z\" fill=\"#1f5fd0\" fill-opacity=\"0.18\"/>\n",
            "<path d=\"M672.9 288.1L675.1 201.0L677.4 113.9\" fill=\"none\" stroke=\"#1f5fd0\" stroke-width=\"2\" \
             stroke-linejoin=\"round\" stroke-linecap=\"round\"/>\n",
            "<circle cx=\"695.5\" cy=\"201.0\" r=\"2\" fill=\"#1f5fd0\"/>\n",
            ">+10.00%</text>\n",
        ] {
            assert_eq!(svg.matches(element).count(), 1, "{element} in {svg}");
        }
        assert!(!svg.contains("\n\n") && svg.ends_with("</svg>\n"), "{svg}");
    }

    #[test]
    fn names_of_coins_cannot_add_markup() {
        let title = "</title><script>alert(1)</script>\0\u{fffe}\u{202e}&amp;\" onload='x'";
        let svg = picture(title, Vec::new()).draw(Theme::Light);
        for never in ["<script", "</title><", "\0", "\u{fffe}", "\u{202e}", "\" onload", "&amp;"] {
            assert!(!svg.contains(never), "{never}: {svg}");
        }
        let heading = "&#60;/title&#62;&#60;script&#62;alert(1)&#60;/script&#62;&#38;amp;&#34; onload=&#39;x&#39;: price";
        assert!(svg.contains(heading), "{svg}");
        assert_eq!((svg.matches("<title").count(), svg.matches("<text").count()), (1, 3), "{svg}");
    }
}
