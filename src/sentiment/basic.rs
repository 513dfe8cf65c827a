//! The score that is kept for comparison, as it was defined first: VADER on the alphabetic words of
//! a text without English stop words.
//!
//! The stop words are those of the Natural Language Toolkit. They contain "not", "no", "but" and
//! "very", which VADER lives on, so "NOT a scam" counts as negative: of the texts that this is tested
//! with, a seventh change their sign. [`super::score`] of the untouched text is the better number.

use std::{collections::HashSet, sync::LazyLock};

use unicode_segmentation::UnicodeSegmentation;

use super::vader;

static STOP_WORDS: LazyLock<HashSet<&str>> = LazyLock::new(|| {
    let words = stop_words::lookup("en").expect("compiled in");
    words.iter().copied().collect()
});

/// The positive share minus the negative one, from -1 to 1.
#[must_use]
pub fn basic(text: &str) -> f64 {
    let scores = vader::score(&clean(text));
    scores.positive - scores.negative
}

/// The words (Unicode Standard Annex 29) that are letters alone and no stop words.
fn clean(text: &str) -> String {
    let is_meant = |word: &&str| {
        word.chars().all(char::is_alphabetic) && !STOP_WORDS.contains(word.to_lowercase().as_str())
    };
    text.unicode_words().filter(is_meant).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_words_that_carry_something_are_left() {
        assert_eq!(clean("This is NOT a scam, don't panic!!! 100% #Bitcoin 🚀"), "scam panic Bitcoin");
        assert_eq!(clean("ビットコイン は user-friendly"), "ビットコイン は user friendly");
        assert_eq!(clean(""), "");
    }

    #[test]
    fn negations_are_lost_which_is_why_there_is_another_score() {
        assert!((basic("NOT a scam") - -1.0).abs() < 1e-9);
        assert!(vader::score("NOT a scam").compound > 0.0);
        assert!((basic("I am not happy with the customer support") - 0.866).abs() < 0.01);
        assert!(basic("").abs() < 1e-9);
    }

    #[test]
    fn the_sign_is_wrong_for_78_of_525_texts() {
        let (mut told, mut wrong) = (0, 0);
        let texts = std::fs::read_to_string("tests/fixtures/vader/texts.jsonl").expect("fixture");
        for text in texts.lines() {
            let text: String = serde_json::from_str(text).expect("a string");
            let compound = vader::score(&text).compound;
            told += i32::from(compound.abs() > 0.0);
            wrong += i32::from(compound * basic(&text) < 0.0);
        }
        assert_eq!((wrong, told), (78, 525));
    }
}
