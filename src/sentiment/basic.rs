//! Scores a text by its alphabetic words without English stop words; kept for comparison only.
//!
//! The stop words are those of the Natural Language Toolkit (NLTK). They include "not", "no", "but" and "very", which
//! VADER needs, so "NOT a scam" counts as negative: for a seventh of the test texts the sign changes. [`super::score`]
//! of the unchanged text is the better number.

use std::{collections::HashSet, sync::LazyLock};

use unicode_segmentation::UnicodeSegmentation;

use super::vader;

static STOP_WORDS: LazyLock<HashSet<&str>> = LazyLock::new(|| {
    let words = stop_words::lookup("en").expect("compiled in");
    words.iter().copied().collect()
});

/// Returns the positive share minus the negative one, from -1 to 1.
pub fn basic(text: &str) -> f64 {
    let scores = vader::score(&clean(text));
    scores.positive - scores.negative
}

/// Keeps the words (Unicode Standard Annex 29) that consist of letters and are no stop words.
fn clean(text: &str) -> String {
    let is_kept = |word: &&str| {
        word.chars().all(char::is_alphabetic) && !STOP_WORDS.contains(word.to_lowercase().as_str())
    };
    text.unicode_words().filter(is_kept).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_words_without_stop_words_are_kept() {
        assert_eq!(clean("This is NOT a scam, don't panic!!! 100% #Bitcoin 🚀"), "scam panic Bitcoin");
        assert_eq!(clean("ビットコイン は user-friendly"), "ビットコイン は user friendly");
        assert_eq!(clean(""), "");
    }

    #[test]
    fn negations_are_lost() {
        assert!((basic("NOT a scam") - -1.0).abs() < 1e-9);
        assert!(vader::score("NOT a scam").compound > 0.0);
        assert!((basic("I am not happy with the customer support") - 0.866).abs() < 0.01);
        assert!(basic("").abs() < 1e-9);
    }

    #[test]
    fn the_sign_is_wrong_for_78_of_525_texts() {
        let (mut scored, mut wrong) = (0, 0);
        let texts = std::fs::read_to_string("tests/fixtures/vader/texts.jsonl").expect("fixture");
        for text in texts.lines() {
            let text: String = serde_json::from_str(text).expect("a string");
            let compound = vader::score(&text).compound;
            scored += i32::from(compound.abs() > 0.0);
            wrong += i32::from(compound * basic(&text) < 0.0);
        }
        assert_eq!((wrong, scored), (78, 525));
    }
}
