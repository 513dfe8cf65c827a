//! Places the parts of a chart by its size. Texts keep their size, so that they can be read on a phone: a narrow image has
//! fewer labels, and its texts stand below each other.

use super::{Size, colours::Colours, frame::Px, picture::Picture};

/// Below it, texts stand below each other.
const NARROW: f64 = 520.0;
/// Average width of a letter as a part of the font size, in a wide font such as `DejaVu Sans`.
const LETTER: f64 = 0.58;
const BOLD_LETTER: f64 = 0.68;
/// The font size from which texts are bold.
const BOLD: u8 = 16;
/// The least space between two texts on a line.
const GAP: f64 = 12.0;
/// In characters.
const MAX_TITLE_LEN: f64 = 42.0;
/// Font size and height of a line of the smallest texts.
const SMALL: u8 = 11;
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
    /// Of the font.
    pub size: u8,
    pub colour: &'static str,
    /// Whether it ends at `x` instead of beginning there.
    pub is_right: bool,
    pub text: String,
}

impl Caption {
    pub fn is_bold(&self) -> bool {
        self.size >= BOLD
    }
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
    picture.series.last().map(|last| picture.unit().drawn(last.value))
}

/// Estimates the width of a text in pixels.
fn width(text: &str, size: u8) -> f64 {
    let letter = if size >= BOLD { BOLD_LETTER } else { LETTER };
    f64::from(u32::try_from(text.chars().count()).unwrap_or(u32::MAX)) * f64::from(size) * letter
}

/// Cuts the title to a width in pixels.
fn title(picture: &Picture, width: f64, size: u8) -> String {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "from 1 to 42")]
    let max_len = (width / (f64::from(size) * BOLD_LETTER)).clamp(1.0, MAX_TITLE_LEN) as usize;
    picture.shortened_title(max_len)
}

fn wide(picture: &Picture, size: Size, colours: &Colours) -> Layout {
    const MARGIN: f64 = 20.0;
    let right = size.width - MARGIN;
    let mut captions = Captions::between(MARGIN, right);
    let value = last_value(picture).unwrap_or_default();
    let for_title = right - MARGIN - width(&value, 19) - GAP;
    captions.left(36.0, 19, colours.text, title(picture, for_title, 19));
    captions.right(36.0, 19, colours.text, value);
    captions.left(57.0, 13, colours.muted, format!("{} \u{b7} {}", picture.counts(), period(picture)));
    if let Some((change, text)) = picture.change().zip(picture.change_text()) {
        captions.right(57.0, 13, change.colour(colours), text);
    }
    finish(captions, picture, size, colours, 84.0)
}

fn narrow(picture: &Picture, size: Size, colours: &Colours) -> Layout {
    const MARGIN: f64 = 14.0;
    let right = size.width - MARGIN;
    let mut captions = Captions::between(MARGIN, right);
    captions.left(30.0, 17, colours.text, title(picture, right - MARGIN, 17));
    let value = last_value(picture).unwrap_or_default();
    let change = picture.change().map(|change| change.colour(colours)).zip(picture.change_text());
    let (counts, period) = (picture.counts(), period(picture));
    // Beside the value stand the change and below it the period, unless the value is too long for that.
    let beside = change.iter().map(|(_, text)| width(text, 13)).fold(width(&period, SMALL), f64::max);
    let is_short = width(&value, 20) + GAP + beside <= right - MARGIN;
    let (change_y, value_y) = if is_short { (68.0, 82.0) } else { (66.0, 86.0) };
    if is_short {
        captions.left(50.0, 12, colours.muted, counts);
        captions.right(86.0, SMALL, colours.muted, period);
    } else {
        captions.left(50.0, 12, colours.muted, format!("{counts} \u{b7} {period}"));
    }
    captions.left(value_y, 20, colours.text, value);
    if let Some((colour, text)) = change {
        captions.right(change_y, 13, colour, text);
    }
    finish(captions, picture, size, colours, 104.0)
}

fn period(picture: &Picture) -> String {
    format!("last {} \u{b7} UTC", picture.in_words)
}

/// Adds the texts below the plot, the sources on lines of their own, and leaves the rest of the height to the plot.
fn finish(captions: Captions, picture: &Picture, size: Size, colours: &Colours, top: f64) -> Layout {
    /// Room for the times below the plot and the first of the texts.
    const TIMES: f64 = 42.0;
    let mut captions = captions;
    let room = captions.right - captions.left;
    let mut lines = fill(picture.summary(), room);
    lines.extend(credits(&picture.credits, room));
    let mut y = size.height - 14.0;
    for line in lines.into_iter().rev() {
        captions.left(y, SMALL, colours.muted, line);
        y -= LINE;
    }
    let Captions { left, right, mut list } = captions;
    list.retain(|caption| !caption.text.is_empty());
    Layout { left, right, top, bottom: y + LINE - TIMES, captions: list }
}

/// Writes as many parts on each line as fit.
fn fill(parts: Vec<String>, room: f64) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for part in parts {
        let longer = lines.last().map(|line| format!("{line} \u{b7} {part}"));
        match (lines.last_mut(), longer) {
            (Some(line), Some(longer)) if width(&longer, SMALL) <= room => *line = longer,
            _ => lines.push(part),
        }
    }
    lines
}

/// Writes the sources on one line. Where that is too narrow, the addresses in brackets and repeated words are left out; the
/// names of the sources stay.
fn credits(texts: &[String], room: f64) -> Vec<String> {
    const BEGIN: &str = "Data provided by ";
    let all = texts.join(" \u{b7} ");
    if width(&all, SMALL) <= room {
        return fill(texts.to_vec(), room);
    }
    let name = |(number, text): (usize, &String)| {
        let name = text.split_once(" (").map_or(text.as_str(), |(name, _)| name);
        let again = name.strip_prefix(BEGIN).filter(|_| number > 0);
        again.unwrap_or(name).to_owned()
    };
    fill(texts.iter().enumerate().map(name).collect(), room)
}
