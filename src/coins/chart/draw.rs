//! The picture: a head, a grid, the line, a foot.

use std::fmt::Write;

use chrono::{DateTime, TimeDelta, Utc};

use super::{
    super::{history::Metric, number},
    Mark, Theme,
    axis::{Scale, times},
    svg::Svg,
};

const WIDTH: f64 = 720.0;
const HEIGHT: f64 = 380.0;
const MARGIN: f64 = 20.0;
const TOP: f64 = 84.0;
const BOTTOM: f64 = 318.0;
const RIGHT: f64 = WIDTH - MARGIN;
/// About what a digit needs at 12 pixels in any font.
const DIGIT: f64 = 7.0;
const LONGEST_TITLE: usize = 42;

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

pub struct Picture<'a> {
    pub title: String,
    pub metric: Metric,
    pub currency: &'a str,
    pub in_words: &'static str,
    pub span: (DateTime<Utc>, DateTime<Utc>),
    /// From one point to the next, if none is missing.
    pub rhythm: TimeDelta,
    pub series: Vec<Mark>,
    /// The 95% confidence interval of the last value.
    pub interval: Option<(f64, f64)>,
    pub attribution: Option<&'static str>,
}

/// From values and times to places.
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
}

impl Picture<'_> {
    pub fn draw(&self, theme: Theme) -> String {
        let colours = match theme {
            Theme::Light => &LIGHT,
            Theme::Dark => &DARK,
        };
        let mut svg = Svg::new(WIDTH, HEIGHT, &self.heading(), &self.description());
        svg.element("rect", format!("width=\"{WIDTH}\" height=\"{HEIGHT}\" fill=\"{}\"", colours.ground));
        self.head(&mut svg, colours);
        if let Some(frame) = self.frame() {
            grid(&mut svg, colours, &frame, self.span);
            self.line(&mut svg, colours, &frame);
            self.interval(&mut svg, colours, &frame);
        } else {
            let place = format!("fill=\"{}\" font-size=\"16\" text-anchor=\"middle\"", colours.muted);
            svg.text(WIDTH / 2.0, f64::midpoint(TOP, BOTTOM), place, "No data yet");
        }
        self.foot(&mut svg, colours);
        svg.finish()
    }

    fn unit(&self) -> String {
        match self.metric {
            Metric::Price => format!("Price in {}", self.currency),
            Metric::Sentiment => "Sentiment, from \u{2212}1 to 1".into(),
            Metric::Popularity => "Popularity, as a ratio to bitcoin\u{2019}s".into(),
        }
    }

    fn heading(&self) -> String {
        format!("{}: {} of the last {}", self.title, self.metric.as_str(), self.in_words)
    }

    fn extremes(&self) -> Option<(f64, f64)> {
        let lowest = self.series.iter().map(|mark| mark.low).reduce(f64::min)?;
        let highest = self.series.iter().map(|mark| mark.high).reduce(f64::max)?;
        Some((lowest, highest))
    }

    fn description(&self) -> String {
        let (Some((lowest, highest)), Some(last)) = (self.extremes(), self.series.last()) else {
            return format!("{}. No data yet.", self.unit());
        };
        let [lowest, highest, value] = [lowest, highest, last.value].map(number::exact);
        let time = last.at.format("%-d %B %Y, %H:%M UTC");
        format!("{}. Lowest {lowest}, highest {highest}, last {value} on {time}.", self.unit())
    }

    fn frame(&self) -> Option<Frame> {
        let (mut lowest, mut highest) = self.extremes()?;
        if let Some((low, high)) = self.interval {
            (lowest, highest) = (lowest.min(low), highest.max(high));
        }
        let scale = Scale::new(lowest, highest);
        #[expect(clippy::cast_precision_loss, reason = "a few characters")]
        let longest = scale.ticks.iter().map(|tick| scale.label(*tick).chars().count()).max()? as f64;
        let left = MARGIN + longest * DIGIT + 8.0;
        let (from, to) = self.span;
        Some(Frame { left, scale, from, seconds: (to - from).as_seconds_f64() })
    }

    fn head(&self, svg: &mut Svg, colours: &Colours) {
        let Colours { text, muted, .. } = colours;
        let mut title: String = self.title.chars().take(LONGEST_TITLE).collect();
        if title.len() < self.title.len() {
            title.push('\u{2026}');
        }
        svg.text(MARGIN, 36.0, format!("fill=\"{text}\" font-size=\"19\" font-weight=\"600\""), &title);
        let what = format!("{} \u{b7} last {} \u{b7} UTC", self.unit(), self.in_words);
        svg.text(MARGIN, 57.0, format!("fill=\"{muted}\" font-size=\"13\""), &what);
        let Some(last) = self.series.last() else {
            return;
        };
        let place = format!("fill=\"{text}\" font-size=\"19\" font-weight=\"600\" text-anchor=\"end\"");
        svg.text(RIGHT, 36.0, place, &number::exact(last.value));
        let first = self.series[0].value;
        if self.metric == Metric::Price && first > 0.0 && self.series.len() > 1 {
            let change = (last.value / first - 1.0) * 100.0;
            let (sign, colour) = if change < 0.0 { ("", colours.down) } else { ("+", colours.up) };
            let place = format!("fill=\"{colour}\" font-size=\"13\" text-anchor=\"end\"");
            svg.text(RIGHT, 57.0, place, &format!("{sign}{}%", number::with_decimals(change, 2)));
        }
    }

    fn line(&self, svg: &mut Svg, colours: &Colours, frame: &Frame) {
        let line = colours.line;
        for piece in self.series.chunk_by(|a, b| b.at - a.at <= self.rhythm * 3 / 2) {
            if let [only] = piece {
                let (x, y) = (frame.x(only.at), frame.y(only.value));
                svg.element("circle", format!("cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"2\" fill=\"{line}\""));
                continue;
            }
            if self.metric == Metric::Price {
                let highs = piece.iter().map(|mark| (mark.at, mark.high));
                let lows = piece.iter().rev().map(|mark| (mark.at, mark.low));
                let band = path(frame, highs.chain(lows));
                svg.element("path", format!("d=\"{band}Z\" fill=\"{line}\" fill-opacity=\"0.18\""));
            }
            let values = path(frame, piece.iter().map(|mark| (mark.at, mark.value)));
            let stroke = "stroke-width=\"2\" stroke-linejoin=\"round\" stroke-linecap=\"round\"";
            svg.element("path", format!("d=\"{values}\" fill=\"none\" stroke=\"{line}\" {stroke}"));
        }
        if let Some(last) = self.series.last() {
            let (x, y) = (frame.x(last.at), frame.y(last.value));
            let ring = format!("stroke=\"{}\" stroke-width=\"2\"", colours.ground);
            svg.element("circle", format!("cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"4.5\" fill=\"{line}\" {ring}"));
        }
    }

    fn interval(&self, svg: &mut Svg, colours: &Colours, frame: &Frame) {
        let (Some((low, high)), Some(last)) = (self.interval, self.series.last()) else {
            return;
        };
        let (x, low, high) = (frame.x(last.at).min(RIGHT - 4.0), frame.y(low), frame.y(high));
        let whisker =
            format!("M{x:.1} {low:.1}V{high:.1}M{:.1} {low:.1}h8M{:.1} {high:.1}h8", x - 4.0, x - 4.0);
        svg.element(
            "path",
            format!("d=\"{whisker}\" fill=\"none\" stroke=\"{}\" stroke-width=\"1.5\"", colours.muted),
        );
    }

    fn foot(&self, svg: &mut Svg, colours: &Colours) {
        let small = |more: &str| format!("fill=\"{}\" font-size=\"11\"{more}", colours.muted);
        if let Some((lowest, highest)) = self.extremes() {
            let mut text = format!("Low {} \u{b7} High {}", number::exact(lowest), number::exact(highest));
            if let Some((low, high)) = self.interval {
                let _ =
                    write!(text, " \u{b7} 95% interval {} to {}", number::exact(low), number::exact(high));
            }
            svg.text(MARGIN, 364.0, small(""), &text);
        }
        if let Some(attribution) = self.attribution {
            svg.text(RIGHT, 364.0, small(" text-anchor=\"end\""), attribution);
        }
    }
}

fn grid(svg: &mut Svg, colours: &Colours, frame: &Frame, (from, to): (DateTime<Utc>, DateTime<Utc>)) {
    let Colours { muted, grid, .. } = colours;
    for tick in &frame.scale.ticks {
        let y = frame.y(*tick);
        // The line of nothing stands out.
        let colour = if tick.abs() < 1e-12 && frame.scale.low < 0.0 { muted } else { grid };
        svg.element(
            "path",
            format!("d=\"M{:.1} {y:.1}H{RIGHT:.1}\" stroke=\"{colour}\" stroke-width=\"1\"", frame.left),
        );
        let place = format!("fill=\"{muted}\" text-anchor=\"end\"");
        svg.text(frame.left - 8.0, y + 4.0, place, &frame.scale.label(*tick));
    }
    for (at, label) in times(from, to) {
        let x = frame.x(at);
        svg.element("path", format!("d=\"M{x:.1} {BOTTOM:.1}v5\" stroke=\"{muted}\" stroke-width=\"1\""));
        // A label at the edge must not be cut.
        let x = x.clamp(frame.left, RIGHT - 16.0);
        svg.text(x, BOTTOM + 20.0, format!("fill=\"{muted}\" text-anchor=\"middle\""), &label);
    }
}

fn path(frame: &Frame, places: impl Iterator<Item = (DateTime<Utc>, f64)>) -> String {
    let mut text = String::new();
    for (index, (at, value)) in places.enumerate() {
        let command = if index == 0 { 'M' } else { 'L' };
        let _ = write!(text, "{command}{:.1} {:.1}", frame.x(at), frame.y(value));
    }
    text
}
