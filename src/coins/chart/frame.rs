//! Maps times and values to coordinates.

use std::fmt::{self, Display, Formatter, Write};

use chrono::{DateTime, TimeDelta, Utc};

use super::Mark;

/// The rectangle in which values are drawn, with what its edges stand for.
pub struct Frame {
    pub left: f64,
    pub right: f64,
    pub top: f64,
    pub bottom: f64,
    pub low: f64,
    pub high: f64,
    pub span: (DateTime<Utc>, DateTime<Utc>),
}

impl Frame {
    pub fn x(&self, at: DateTime<Utc>) -> f64 {
        let (from, to) = self.span;
        let part = (at - from).as_seconds_f64() / (to - from).as_seconds_f64();
        self.left + part.clamp(0.0, 1.0) * (self.right - self.left)
    }

    pub fn y(&self, value: f64) -> f64 {
        let part = (value - self.low) / (self.high - self.low);
        self.bottom - part.clamp(0.0, 1.0) * (self.bottom - self.top)
    }

    /// Draws the marks as lines, with a gap where more than `spacing` is between two. The last mark is left out if its
    /// interval is not over: its mean or last price may still change.
    pub fn pieces(&self, marks: &[Mark], spacing: TimeDelta, with_band: bool) -> Vec<Piece> {
        let whole = match marks {
            [whole @ .., last] if last.is_partial => whole,
            all => all,
        };
        let pieces = whole.chunk_by(|a, b| b.at - a.at <= spacing * 3 / 2);
        pieces.map(|piece| self.piece(piece, with_band)).collect()
    }

    fn piece(&self, marks: &[Mark], with_band: bool) -> Piece {
        if let [only] = marks {
            return Piece::Dot { x: Px(self.x(only.at)), y: Px(self.y(only.value)) };
        }
        let band = with_band.then(|| {
            let highs = marks.iter().map(|mark| (mark.at, mark.high));
            let lows = marks.iter().rev().map(|mark| (mark.at, mark.low));
            self.path(highs.chain(lows))
        });
        Piece::Line { band, values: self.path(marks.iter().map(|mark| (mark.at, mark.value))) }
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

/// Values without a gap between them.
pub enum Piece {
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

/// A coordinate in pixels, written with one decimal.
#[derive(Clone, Copy)]
pub struct Px(pub f64);

impl Display for Px {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{:.1}", self.0)
    }
}
