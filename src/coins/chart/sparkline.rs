//! Draws only the line, on a transparent ground: for tables and lists.

use askama::Template;

use super::{
    Size, Theme,
    axis::Scale,
    colours::Colours,
    frame::{Frame, Piece, Px},
    picture::Picture,
};

/// Room for the last point.
const MARGIN: f64 = 3.0;

#[derive(Template)]
#[template(path = "coins/chart/sparkline.svg")]
struct Sparkline {
    width: f64,
    height: f64,
    heading: String,
    description: String,
    line: &'static str,
    pieces: Vec<Piece>,
    /// None without data.
    last: Option<(Px, Px)>,
    last_is_partial: bool,
    left: Px,
    right: Px,
    middle: Px,
}

/// Returns the SVG document.
pub fn draw(picture: &Picture, size: Size, theme: Theme) -> String {
    let colours = Colours::of(theme);
    let (right, bottom) = (size.width - MARGIN, size.height - MARGIN);
    let values = || picture.series.iter().map(|mark| mark.value);
    let frame = values().reduce(f64::min).zip(values().reduce(f64::max)).map(|(lowest, highest)| {
        let Scale { low, high, .. } = picture.scale(lowest, highest, 2);
        Frame { left: MARGIN, right, top: MARGIN, bottom, low, high, span: picture.span }
    });
    let last = picture.series.last();
    let pieces = frame.as_ref().map(|frame| frame.pieces(&picture.series, picture.spacing, false));
    let drawing = Sparkline {
        width: size.width,
        height: size.height,
        heading: picture.heading(),
        description: picture.description(),
        line: if frame.is_some() { picture.line(colours) } else { colours.muted },
        pieces: pieces.unwrap_or_default(),
        last: frame.as_ref().zip(last).map(|(frame, last)| (Px(frame.x(last.at)), Px(frame.y(last.value)))),
        last_is_partial: last.is_some_and(|last| last.is_partial),
        left: Px(MARGIN),
        right: Px(right),
        middle: Px(size.height / 2.0),
    };
    drawing.render().expect("writing into memory does not fail")
}
