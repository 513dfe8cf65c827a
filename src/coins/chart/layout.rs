//! Places the parts of a chart by its size. Texts keep their size, so that they can be read on a phone: a narrow image has
//! fewer labels, and its texts stand below each other.

use super::{Size, colours::Colours, frame::Px, picture::Picture};

/// Below it, texts stand below each other.
const NARROW: f64 = 520.0;
/// Average width in pixels of a bold letter, as a part of the font size.
const LETTER: f64 = 0.56;
/// In characters.
const MAX_TITLE_LEN: f64 = 42.0;
/// Height of a line of the smallest texts.
const LINE: f64 = 15.0;

/// The edges of the plot, without the labels on its left.
pub struct Layout {
    pub left: f64,
    pub right: f64,
    pub top: f64,
    pub bottom: f64,
    pub captions: Vec<Caption>,
}

/// A text outside the plot.
pub struct Caption {
    pub x: Px,
    pub y: Px,
    /// Of the font; from 16 on it is bold.
    pub size: u8,
    pub colour: &'static str,
    /// Whether it ends at `x` instead of beginning there.
    pub is_right: bool,
    pub text: String,
}

impl Layout {
    pub fn of(picture: &Picture, size: Size, colours: &Colours) -> Self {
        if size.width < NARROW { narrow(picture, size, colours) } else { wide(picture, size, colours) }
    }
}

/// Collects captions between two margins.
struct Captions {
    left: f64,
    right: f64,
    list: Vec<Caption>,
}

impl Captions {
    fn between(left: f64, right: f64) -> Self {
        Self { left, right, list: Vec::new() }
    }

    fn left(&mut self, y: f64, size: u8, colour: &'static str, text: String) {
        self.list.push(Caption { x: Px(self.left), y: Px(y), size, colour, is_right: false, text });
    }

    fn right(&mut self, y: f64, size: u8, colour: &'static str, text: String) {
        self.list.push(Caption { x: Px(self.right), y: Px(y), size, colour, is_right: true, text });
    }
}

fn last_value(picture: &Picture) -> Option<String> {
    picture.series.last().map(|last| picture.unit().measured(last.value))
}

/// Cuts the title to a width in pixels.
fn title(picture: &Picture, width: f64, size: u8) -> String {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "from 1 to 42")]
    let max_len = (width / (f64::from(size) * LETTER)).clamp(1.0, MAX_TITLE_LEN) as usize;
    picture.shortened_title(max_len)
}

fn wide(picture: &Picture, size: Size, colours: &Colours) -> Layout {
    const MARGIN: f64 = 20.0;
    let right = size.width - MARGIN;
    let mut captions = Captions::between(MARGIN, right);
    let value = last_value(picture).unwrap_or_default();
    let for_value = f64::from(u8::try_from(value.chars().count()).unwrap_or(u8::MAX)) * 19.0 * LETTER;
    let width = right - MARGIN - for_value - MARGIN;
    captions.left(36.0, 19, colours.text, title(picture, width, 19));
    captions.right(36.0, 19, colours.text, value);
    let period = format!("{} \u{b7} last {} \u{b7} UTC", picture.counts(), picture.in_words);
    captions.left(57.0, 13, colours.muted, period);
    if let Some(change) = picture.change() {
        captions.right(57.0, 13, change.colour(colours), change.text());
    }
    let below = size.height - 16.0;
    captions.left(below, 11, colours.muted, picture.summary().join(" \u{b7} "));
    captions.right(below, 11, colours.muted, picture.attribution.unwrap_or_default().into());
    finish(captions, 84.0, size.height - 62.0)
}

fn narrow(picture: &Picture, size: Size, colours: &Colours) -> Layout {
    const MARGIN: f64 = 14.0;
    let right = size.width - MARGIN;
    let mut captions = Captions::between(MARGIN, right);
    captions.left(30.0, 17, colours.text, title(picture, right - MARGIN, 17));
    captions.left(50.0, 12, colours.muted, picture.counts());
    captions.left(82.0, 20, colours.text, last_value(picture).unwrap_or_default());
    if let Some(change) = picture.change() {
        captions.right(68.0, 13, change.colour(colours), change.text());
    }
    captions.right(86.0, 11, colours.muted, format!("last {} \u{b7} UTC", picture.in_words));
    let mut lines = picture.summary();
    lines.extend(picture.attribution.map(str::to_owned));
    let mut y = size.height - 14.0;
    for line in lines.into_iter().rev() {
        captions.left(y, 11, colours.muted, line);
        y -= LINE;
    }
    finish(captions, 104.0, y - 27.0)
}

fn finish(captions: Captions, top: f64, bottom: f64) -> Layout {
    let Captions { left, right, mut list } = captions;
    list.retain(|caption| !caption.text.is_empty());
    Layout { left, right, top, bottom, captions: list }
}
