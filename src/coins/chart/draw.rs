//! Draws a chart with axes and texts; `chart.svg` is the markup around them.

use askama::Template;

use super::{
    Size, Theme,
    axis::{Scale, times},
    colours::Colours,
    frame::{Frame, Piece, Px},
    layout::{Caption, Layout},
    picture::Picture,
};
use crate::coins::history::Metric;

/// Width in pixels of a digit of 12 pixels, in about any font.
const DIGIT_WIDTH: f64 = 7.0;
/// Height and width in pixels for one line of the grid with its label.
const ROW: f64 = 39.0;
const COLUMN: f64 = 78.0;

#[derive(Template)]
#[template(path = "coins/chart/chart.svg")]
struct Drawing {
    width: f64,
    height: f64,
    colours: &'static Colours,
    heading: String,
    description: String,
    captions: Vec<Caption>,
    /// The colour of the line.
    line: &'static str,
    /// None without data.
    plot: Option<Plot>,
    middle: (Px, Px),
    /// Size of the word across the chart of invented numbers.
    stamp: Option<f64>,
}

struct Plot {
    left: Px,
    right: Px,
    bottom: Px,
    /// Where the labels of rows end, and those of columns stand.
    label_x: Px,
    label_y: Px,
    rows: Vec<Row>,
    columns: Vec<Column>,
    pieces: Vec<Piece>,
    /// The last value.
    last: (Px, Px),
    last_is_partial: bool,
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

struct IntervalBar {
    x: Px,
    left: Px,
    low: Px,
    high: Px,
}

/// Returns the SVG document.
pub fn draw(picture: &Picture, size: Size, theme: Theme) -> String {
    let colours = Colours::of(theme);
    let layout = Layout::of(picture, size, colours);
    let drawing = Drawing {
        width: size.width,
        height: size.height,
        colours,
        heading: picture.heading(),
        description: picture.description(),
        line: picture.line(colours),
        plot: plot(picture, &layout),
        stamp: picture.simulated.then(|| (size.width / 9.0).clamp(24.0, 96.0)),
        middle: (Px(size.width / 2.0), Px(f64::midpoint(layout.top, layout.bottom))),
        captions: layout.captions,
    };
    drawing.render().expect("writing into memory does not fail")
}

fn plot(picture: &Picture, layout: &Layout) -> Option<Plot> {
    let (scale, frame) = frame(picture, layout)?;
    let last = picture.series.last()?;
    let row = |tick: &f64| Row {
        y: Px(frame.y(*tick)),
        label_y: Px(frame.y(*tick) + 4.0),
        is_zero: tick.abs() < 1e-12 && scale.low < 0.0,
        label: scale.label(*tick, picture.unit()),
    };
    let column = |(at, label)| {
        let x = frame.x(at);
        // A label at the edge must not be cut.
        Column { x: Px(x), label_x: Px(x.clamp(frame.left, frame.right - 8.0)), label }
    };
    let (from, to) = picture.span;
    let max_times = count((frame.right - frame.left) / COLUMN, 2, 8);
    Some(Plot {
        left: Px(frame.left),
        right: Px(frame.right),
        bottom: Px(frame.bottom),
        label_x: Px(frame.left - 8.0),
        label_y: Px(frame.bottom + 20.0),
        rows: scale.ticks.iter().map(row).collect(),
        columns: times(from, to, max_times).into_iter().map(column).collect(),
        pieces: frame.pieces(&picture.series, picture.spacing, picture.metric == Metric::Price),
        last: (Px(frame.x(last.at)), Px(frame.y(last.value))),
        last_is_partial: last.is_partial,
        interval: picture.interval.map(|(low, high)| {
            let x = frame.x(last.at).min(frame.right - 4.0);
            IntervalBar { x: Px(x), left: Px(x - 4.0), low: Px(frame.y(low)), high: Px(frame.y(high)) }
        }),
    })
}

/// Leaves room for the labels of the scale.
fn frame(picture: &Picture, layout: &Layout) -> Option<(Scale, Frame)> {
    let Layout { left, right, top, bottom, .. } = *layout;
    let (mut lowest, mut highest) = picture.extremes()?;
    if let Some((low, high)) = picture.interval {
        (lowest, highest) = (lowest.min(low), highest.max(high));
    }
    let scale = picture.scale(lowest, highest, count((bottom - top) / ROW, 2, 8));
    let lengths = scale.ticks.iter().map(|tick| scale.label(*tick, picture.unit()).chars().count());
    let longest = lengths.max().and_then(|longest| u8::try_from(longest).ok())?;
    let left = left + f64::from(longest) * DIGIT_WIDTH + 8.0;
    let (low, high) = (scale.low, scale.high);
    Some((scale, Frame { left, right, top, bottom, low, high, span: picture.span }))
}

/// Rounds down to a number of labels.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "within the range")]
fn count(value: f64, least: u8, most: u8) -> u8 {
    value.clamp(f64::from(least), f64::from(most)) as u8
}

#[cfg(test)]
mod tests {
    use chrono::{DateTime, TimeDelta, Utc};
    use proptest::prelude::*;

    use super::*;
    use crate::{
        coins::chart::{Mark, sparkline},
        market,
    };

    const USUAL: Size = Size { width: 720.0, height: 380.0 };

    fn picture(title: &str, series: Vec<Mark>) -> Picture<'_> {
        Picture {
            name: title.into(),
            symbol: "X".into(),
            metric: Metric::Price,
            currency: "GBP",
            in_words: "24 hours",
            span: (noon() - TimeDelta::days(1), noon()),
            spacing: TimeDelta::minutes(5),
            series,
            interval: None,
            credits: Vec::new(),
            simulated: false,
        }
    }

    fn noon() -> DateTime<Utc> {
        "2026-11-20T12:00:00Z".parse().expect("time")
    }

    fn mark((minutes, value): (i64, f64)) -> Mark {
        let at = noon() - TimeDelta::minutes(minutes);
        Mark { at, low: value - 2.0, high: value + 2.0, value, is_partial: false }
    }

    /// The numbers of an attribute of all elements of a name.
    fn attribute(svg: &str, element: &str, name: &str) -> Vec<f64> {
        let elements = svg.split('<').filter(|part| part.starts_with(&format!("{element} ")));
        let values = elements.filter_map(|one| one.split_once(&format!(" {name}=\"")));
        values
            .map(|(_, rest)| rest.split('"').next().unwrap_or_default().parse().expect("a number"))
            .collect()
    }

    #[test]
    fn a_gap_ends_the_line_and_a_lone_value_is_a_dot() {
        let series = [(60, 100.0), (55, 110.0), (50, 120.0), (10, 110.0)].map(mark).into();
        let svg = draw(&picture("Bitcoin (BTC)", series), USUAL, Theme::Light);
        for (part, count) in [
            ("fill=\"#0a7d3c\" fill-opacity=\"0.18\"/>\n", 1),
            ("fill=\"none\" stroke=\"#0a7d3c\" stroke-width=\"2\"", 1),
            ("r=\"2\" fill=\"#0a7d3c\"/>\n", 1),
            (">\u{25b2} +10.00% since 11:00</text>\n", 1),
            (">\u{a3}110</text>\n", 2),
        ] {
            assert_eq!(svg.matches(part).count(), count, "{part} in {svg}");
        }
        assert!(!svg.contains("\n\n") && svg.ends_with("</svg>\n"), "{svg}");
    }

    #[test]
    fn no_line_leads_to_a_point_whose_day_is_not_over() {
        let mut series: Vec<_> = [(20, 100.0), (15, 90.0), (10, 80.0), (5, 70.0)].map(mark).into();
        let points = |svg: &str| svg.split("d=\"M").map(|path| path.matches('L').count()).max();
        let joined = draw(&picture("X", series.clone()), USUAL, Theme::Light);
        assert!(
            points(&joined) == Some(7) && !joined.contains("is not over"),
            "the band has 8 corners: {joined}"
        );
        series[3].is_partial = true;
        let apart = draw(&picture("X", series.clone()), USUAL, Theme::Light);
        assert_eq!(points(&apart), Some(5), "{apart}");
        assert!(apart.contains("r=\"4\" fill=\"#ffffff\" stroke=\"#c02b2b\""), "a ring: {apart}");
        assert!(apart.contains("The last point is of the current hour, which is not over"), "{apart}");
        let small = sparkline::draw(&picture("X", series), Size { width: 120.0, height: 40.0 }, Theme::Light);
        assert!(points(&small) == Some(2) && small.contains("r=\"2\" fill=\"none\""), "{small}");
    }

    #[test]
    fn names_of_coins_cannot_add_markup() {
        let title = "</title><script>alert(1)</script>\0\u{fffe}\u{202e}&amp;\" onload='x'";
        let svg = draw(&picture(title, Vec::new()), USUAL, Theme::Light);
        for never in ["<script", "</title><", "\0", "\u{fffe}", "\u{202e}", "\" onload", "&amp;"] {
            assert!(!svg.contains(never), "{never}: {svg}");
        }
        let heading = "&#60;/title&#62;&#60;script&#62;alert(1)&#60;/script&#62;&#38;amp;&#34; onload=&#39;x&#39; (X): price";
        assert!(svg.contains(heading), "{svg}");
        assert_eq!((svg.matches("<title").count(), svg.matches("<text").count()), (1, 3), "{svg}");
    }

    #[test]
    fn labels_of_sentiment_have_two_decimals_at_most() {
        for (low, high) in [(0.1, 0.1), (0.1, 0.102), (-0.05, 0.06), (-0.9, 0.9), (0.03, 0.13)] {
            let exact = |at| move |value| Mark { low: value, high: value, ..mark((at, value)) };
            let mut picture = picture("X", vec![exact(600)(low), exact(595)(high)]);
            picture.metric = Metric::Sentiment;
            for height in [240.0, 380.0, 1000.0] {
                let svg = draw(&picture, Size { width: 720.0, height }, Theme::Light);
                let texts = svg.split("</text>").filter_map(|part| part.rsplit_once('>'));
                let numbers =
                    texts.flat_map(|(_, text)| text.split(' ')).filter_map(|word| word.split_once('.'));
                let decimals = numbers.map(|(_, part)| part.trim().len());
                assert!(decimals.max() <= Some(2), "{low} to {high} at {height}: {svg}");
            }
        }
    }

    proptest! {
        #[test]
        fn texts_are_never_cut_and_cover_neither_each_other_nor_the_plot(
            width in 320..1600u16, height in 240..1000u16, is_price: bool,
            low in -6.0..9.0f64, factor in 1.0..3.0f64, currency in 0..3usize, provider in 0..4usize,
            begins_late: bool,
        ) {
            let low = if is_price { 10f64.powf(low) } else { low / 9.0 - 0.3 };
            let series = vec![mark((900, low * factor)), mark((600, low)), mark((595, low * factor))];
            let mut picture = picture("A coin whose name has more than forty-two letters", series);
            picture.symbol = "LONG".into();
            if begins_late {
                picture.span.0 -= TimeDelta::days(364);
            }
            picture.currency = ["GBP", "CHF", "IDR"][currency];
            picture.in_words = "365 days";
            let providers = ["coinmarketcap", "coingecko", "coinpaprika"];
            let all = providers.map(|name| market::attribution(name).expect("a text").to_owned());
            picture.credits = if provider == 3 { all.into() } else { vec![all[provider].clone()] };
            if !is_price {
                picture.credits = vec!["Posts from Bluesky, Mastodon, X".into()];
                picture.metric = Metric::Sentiment;
                picture.interval = Some((-0.95, 0.95));
            }
            let (width, height) = (f64::from(width), f64::from(height));
            let svg = draw(&picture, Size { width, height }, Theme::Dark);
            prop_assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
            prop_assert!(attribute(&svg, "text", "font-size").iter().all(|size| *size >= 11.0), "{svg}");
            let mut areas = texts(&svg);
            prop_assert!((8..=32).contains(&areas.len()), "{areas:?}");
            areas.push(grid(&svg));
            for (index, one) in areas.iter().enumerate() {
                let Area { left, right, top, bottom, .. } = *one;
                prop_assert!(left >= 0.0 && right <= width && top >= 0.0 && bottom <= height, "{one:?} is cut");
                let other = areas.iter().skip(index + 1).find(|other| one.meets(other));
                prop_assert!(other.is_none(), "{one:?} covers {other:?} at {width} by {height}");
            }
        }
    }

    /// A rectangle of the image.
    #[derive(Debug)]
    struct Area<'a> {
        left: f64,
        right: f64,
        top: f64,
        bottom: f64,
        #[expect(dead_code, reason = "names the area in a failure")]
        text: &'a str,
    }

    impl Area<'_> {
        fn meets(&self, other: &Self) -> bool {
            let is_beside = self.right <= other.left || other.right <= self.left;
            let is_below = self.bottom <= other.top || other.bottom <= self.top;
            !is_beside && !is_below
        }
    }

    /// The areas of all texts, from the top of capitals to the bottom of commas.
    fn texts(svg: &str) -> Vec<Area<'_>> {
        let area = |element| {
            let (attributes, text) = str::split_once(element, '>').expect("a text");
            let value = |name: &str| {
                let (_, rest) = attributes.split_once(&format!("{name}=\""))?;
                rest.split('"').next()
            };
            let number = |name| value(name).map(|text| text.parse::<f64>().expect("a number"));
            let size = number("font-size").unwrap_or(12.0);
            let bold = if value("font-weight").is_some() { 1.1 } else { 1.0 };
            let width = text.chars().map(wide).sum::<f64>() * bold * size;
            let (x, y) = (number("x").expect("a place"), number("y").expect("a place"));
            let left = match value("text-anchor") {
                Some("end") => x - width,
                Some("middle") => x - width / 2.0,
                _ => x,
            };
            Area { left, right: left + width, top: y - 0.73 * size, bottom: y + 0.12 * size, text }
        };
        svg.split("<text ").skip(1).filter_map(|rest| rest.split("</text>").next()).map(area).collect()
    }

    /// Width of a letter as a part of the font size, in `DejaVu Sans`: one of the widest fonts that images are shown in.
    fn wide(letter: char) -> f64 {
        match letter {
            'i' | 'j' | 'l' | 'I' | 'J' => 0.3,
            ' ' | ',' | '.' | '/' | ':' | '\u{a0}' | '\u{b7}' | '\u{2019}' => 0.33,
            '(' | ')' | '-' | 'f' | 't' | 'r' => 0.41,
            'a'..='l' | 'n'..='v' | 'x'..='z' => 0.61,
            '0'..='9' | '\u{a3}' => 0.64,
            'A'..='L' | 'N'..='V' | 'X'..='Z' => 0.72,
            _ => 0.98,
        }
    }

    /// The area between the first and the last line of the grid.
    fn grid(svg: &str) -> Area<'_> {
        let path = |path: &str| {
            let (from, right) = path.split_once("\" stroke=")?.0.split_once('H')?;
            let (left, y) = from.split_once(' ')?;
            Some([left, right, y].map(|text| text.parse::<f64>().expect("a number")))
        };
        let lines: Vec<_> = svg.split("<path d=\"M").filter_map(path).collect();
        let heights = || lines.iter().map(|line| line[2]);
        let (top, bottom) = (heights().reduce(f64::min), heights().reduce(f64::max));
        let (top, bottom) = (top.expect("lines"), bottom.expect("lines"));
        Area { left: lines[0][0], right: lines[0][1], top, bottom, text: "the grid" }
    }
}
