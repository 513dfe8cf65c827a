//! Checks text that is stored and displayed, and text that errors quote.

use std::borrow::Cow;

use icu_properties::{
    CodePointMapData, CodePointSetData,
    props::{DefaultIgnorableCodePoint, GeneralCategory, GeneralCategoryGroup, VariationSelector},
};
use validator::ValidationError;

/// Longest text of an error in characters: our own texts are shorter.
const MAX_QUOTING: usize = 1000;

/// Whether a character is invisible or reorders the text around it, so that one text can look like another: control
/// characters, Unicode's `Default_Ignorable_Code_Point` (direction marks, zero-width spaces, tags, fillers), line and
/// paragraph separators, and a few blank symbols. Joiners and variation selectors are allowed: scripts and emoji need
/// them.
pub fn is_deceptive(c: char) -> bool {
    let ignorable = CodePointSetData::new::<DefaultIgnorableCodePoint>().contains(c);
    c.is_control()
        || (ignorable && !is_joiner(c) && !is_selector(c))
        || matches!(c, '\u{2028}' | '\u{2029}' | '\u{2800}' | '\u{fff9}'..='\u{fffb}' | '\u{1d159}')
}

fn is_joiner(c: char) -> bool {
    matches!(c, '\u{200c}' | '\u{200d}')
}

fn is_selector(c: char) -> bool {
    CodePointSetData::new::<VariationSelector>().contains(c)
}

/// Validates text that other people read. A joiner must stand between two visible characters and a variation selector
/// after one; anywhere else they could only hide something.
///
/// # Errors
/// `control-character`.
pub fn check_display_text(text: &str) -> Result<(), ValidationError> {
    let is_visible = |c: &char| !c.is_whitespace() && !is_joiner(*c) && !is_selector(*c);
    let (mut before, mut rest) = (None, text.chars().peekable());
    while let Some(c) = rest.next() {
        let follows = before.as_ref().is_some_and(is_visible);
        let misplaced = if is_joiner(c) {
            !(follows || before.is_some_and(is_selector)) || !rest.peek().is_some_and(is_visible)
        } else {
            is_selector(c) && !follows
        };
        if misplaced || is_deceptive(c) {
            return Err(ValidationError::new("control-character")
                .with_message("must not contain control characters or invisible characters".into()));
        }
        before = Some(c);
    }
    Ok(())
}

/// Whether text contains a visible character: a letter, a number, punctuation or a symbol. Spaces, marks without a
/// letter and private-use characters do not count.
pub fn is_visible(text: &str) -> bool {
    let category = CodePointMapData::<GeneralCategory>::new();
    let groups = [
        GeneralCategoryGroup::Letter,
        GeneralCategoryGroup::Number,
        GeneralCategoryGroup::Punctuation,
        GeneralCategoryGroup::Symbol,
    ];
    let visible = |c: char| groups.iter().any(|group| group.contains(category.get(c)));
    text.chars().any(|c| visible(c) && !is_deceptive(c))
}

/// Makes the text of an error, which may quote what a client has sent, safe for terminals, logs and pages: what is
/// invisible or reorders text is written as its number, as in `\u{202e}`, and a longer text loses its middle, which is
/// where it quotes. A text from the source quotes nothing.
pub(super) fn quoting(text: Cow<'static, str>) -> Cow<'static, str> {
    let length = match &text {
        Cow::Owned(owned) => owned.chars().count(),
        Cow::Borrowed(_) => return text,
    };
    let show = |c: char| if is_plain(c) { c.to_string() } else { c.escape_unicode().to_string() };
    if length <= MAX_QUOTING {
        return text.chars().map(show).collect::<String>().into();
    }
    let begin = text.chars().take(MAX_QUOTING / 2).map(show);
    let end = text.chars().skip(length - MAX_QUOTING / 2).map(show);
    begin.chain(["…".to_owned()]).chain(end).collect::<String>().into()
}

/// A visible character or a space. Joiners and variation selectors are not: what is quoted may be only a part of a text.
fn is_plain(c: char) -> bool {
    let category = CodePointMapData::<GeneralCategory>::new().get(c);
    let is_other = GeneralCategoryGroup::Other.contains(category);
    let is_blank = GeneralCategoryGroup::Separator.contains(category) && c != ' ';
    !(is_other || is_blank || is_deceptive(c) || is_joiner(c) || is_selector(c))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_that_quotes_shows_what_is_invisible_and_has_a_bound() {
        let shown = |text: &str| quoting(text.to_owned().into()).into_owned();
        for plain in ["", "unknown variant `x`, expected `session`", "Zoë O’Neil 葛 محمد 🦀 … ‘’"]
        {
            assert_eq!(shown(plain), plain);
        }
        for (text, expected) in [
            ("a\r\nb", "a\\u{d}\\u{a}b"),
            ("\u{7f}\u{85}\u{1b}[2J", "\\u{7f}\\u{85}\\u{1b}[2J"),
            ("\u{202e}\u{2066}\u{feff}\u{e0041}", "\\u{202e}\\u{2066}\\u{feff}\\u{e0041}"),
            ("a\u{a0}b\u{2028}\u{600}", "a\\u{a0}b\\u{2028}\\u{600}"),
            ("\u{200d}\u{fe0f}\u{e000}\u{3164}", "\\u{200d}\\u{fe0f}\\u{e000}\\u{3164}"),
        ] {
            assert_eq!(shown(text), expected);
            assert_eq!(shown(expected), expected, "a second time");
        }
        let long = shown(&format!("unknown variant `{}`, expected `session`", "é".repeat(60_000)));
        assert_eq!(long.chars().count(), MAX_QUOTING + 1);
        assert!(long.starts_with("unknown variant `é") && long.contains("é…é"), "{long}");
        assert!(long.ends_with("é`, expected `session`"), "{long}");
        assert!(shown(&"\u{e0041}".repeat(60_000)).len() < 10 * MAX_QUOTING);
        assert_eq!(shown(&"x".repeat(MAX_QUOTING)), "x".repeat(MAX_QUOTING));
    }

    #[test]
    fn names_in_any_script_and_emoji_are_accepted() {
        for text in [
            "Ada Lovelace",
            "Zoë O’Neil-Ada",
            "葛\u{e0100}城",
            "محمد",
            "می\u{200c}خواهم",
            "क्\u{200d}ष",
            "ශ්\u{200d}රී",
            "❤\u{fe0f}",
            "🏳\u{fe0f}\u{200d}🌈",
            "👩\u{200d}👩\u{200d}👧",
            "1\u{fe0f}\u{20e3}",
        ] {
            assert!(check_display_text(text).is_ok() && is_visible(text), "{text:?}");
        }
    }

    #[test]
    fn invisible_and_reordering_characters_are_refused() {
        let ignorable = "\u{ad}\u{34f}\u{61c}\u{115f}\u{1160}\u{17b4}\u{180e}\u{200b}\u{200e}\u{200f}\u{202e}\
                         \u{2060}\u{2066}\u{3164}\u{feff}\u{ffa0}\u{fff0}\u{e0001}\u{e0041}\u{e007f}";
        for c in ignorable.chars().chain("\u{0}\u{9}\u{2028}\u{2800}\u{fff9}\u{fffb}\u{1d159}".chars()) {
            assert!(is_deceptive(c) && !is_visible(&c.to_string()), "U+{:04X}", u32::from(c));
            assert!(check_display_text(&format!("A{c}b")).is_err(), "U+{:04X}", u32::from(c));
        }
    }

    #[test]
    fn misplaced_joiners_and_selectors_are_refused() {
        for text in [
            "\u{200d}A",
            "A\u{200d}",
            "A\u{200d}\u{200d}b",
            "A \u{200c}b",
            "A\u{200c} b",
            "\u{fe0f}",
            " \u{fe0f}",
            "A\u{fe0f}\u{fe0f}",
            "A\u{e0101}\u{e0102}",
        ] {
            assert!(check_display_text(text).is_err(), "{text:?}");
        }
        for text in ["", " \u{3000}", "\u{200d}", "\u{fe0f}", "\u{301}", "\u{e000}"] {
            assert!(!is_visible(text), "{text:?}");
        }
    }
}
