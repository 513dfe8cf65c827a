//! Holds the words that VADER knows: valences, boosters and negations in one map, and emoji.
//!
//! The data are those of the Python package `vaderSentiment` 3.3.2 (MIT, C. J. Hutto);
//! `scripts/record-vader.py` writes `lexicon.tsv` and `emoji.tsv`.

use std::{collections::HashMap, sync::LazyLock};

/// How much a booster adds to, or a dampener takes from, the next word.
const BOOST: f64 = 0.293;

#[rustfmt::skip]
const NEGATIONS: [&str; 59] = [
    "aint", "arent", "cannot", "cant", "couldnt", "darent", "didnt", "doesnt", "ain't", "aren't", "can't",
    "couldn't", "daren't", "didn't", "doesn't", "dont", "hadnt", "hasnt", "havent", "isnt", "mightnt", "mustnt",
    "neither", "don't", "hadn't", "hasn't", "haven't", "isn't", "mightn't", "mustn't", "neednt", "needn't",
    "never", "none", "nope", "nor", "not", "nothing", "nowhere", "oughtnt", "shant", "shouldnt", "uhuh",
    "wasnt", "werent", "oughtn't", "shan't", "shouldn't", "uh-uh", "wasn't", "weren't", "without", "wont",
    "wouldnt", "won't", "wouldn't", "rarely", "seldom", "despite",
];

#[rustfmt::skip]
const BOOSTERS: [&str; 60] = [
    "absolutely", "amazingly", "awfully", "completely", "considerable", "considerably", "decidedly", "deeply",
    "effing", "enormous", "enormously", "entirely", "especially", "exceptional", "exceptionally", "extreme",
    "extremely", "fabulously", "flipping", "flippin", "frackin", "fracking", "fricking", "frickin", "frigging",
    "friggin", "fully", "fuckin", "fucking", "fuggin", "fugging", "greatly", "hella", "highly", "hugely",
    "incredible", "incredibly", "intensely", "major", "majorly", "more", "most", "particularly", "purely",
    "quite", "really", "remarkably", "so", "substantially", "thoroughly", "total", "totally", "tremendous",
    "tremendously", "uber", "unbelievably", "unusually", "utter", "utterly", "very",
];

#[rustfmt::skip]
const DAMPENERS: [&str; 21] = [
    "almost", "barely", "hardly", "kinda", "kindof", "kind-of", "less", "little", "marginal", "marginally",
    "occasional", "occasionally", "partly", "scarce", "scarcely", "slight", "slightly", "somewhat", "sorta",
    "sortof", "sort-of",
];

/// The entry of a word.
#[derive(Clone, Copy, Debug, Default)]
pub struct Word {
    pub valence: Option<f64>,
    /// Not 0 for the words that change the next one instead of having a valence.
    pub boost: f64,
    pub negates: bool,
}

static WORDS: LazyLock<HashMap<&str, Word>> = LazyLock::new(|| {
    let mut words = HashMap::<_, Word>::with_capacity(8000);
    for line in include_str!("lexicon.tsv").lines() {
        let (word, valence) = line.split_once('\t').expect("two columns");
        words.entry(word).or_default().valence = Some(valence.parse().expect("a number"));
    }
    for word in BOOSTERS {
        words.entry(word).or_default().boost = BOOST;
    }
    for word in DAMPENERS {
        words.entry(word).or_default().boost = -BOOST;
    }
    for word in NEGATIONS {
        words.entry(word).or_default().negates = true;
    }
    words
});

static EMOJI: LazyLock<HashMap<char, &str>> = LazyLock::new(|| {
    let lines = include_str!("emoji.tsv").lines().map(|line| line.split_once('\t').expect("two columns"));
    lines.map(|(emoji, words)| (emoji.chars().next().expect("a character"), words)).collect()
});

/// `word` in lower case.
pub fn word(word: &str) -> Word {
    let mut found = WORDS.get(word).copied().unwrap_or_default();
    found.negates |= word.contains("n't");
    found
}

/// An emoji in words; no ASCII character is one.
pub fn emoji(c: char) -> Option<&'static str> {
    if c.is_ascii() { None } else { EMOJI.get(&c).copied() }
}

/// Phrases of two and three words with a valence of their own.
pub fn phrase(words: &[&str]) -> Option<f64> {
    match words {
        ["the", "shit" | "bomb"] | ["to", "die", "for"] => Some(3.0),
        ["bad", "ass"] => Some(1.5),
        ["bus", "stop"] => Some(0.0),
        ["yeah", "right"] => Some(-2.0),
        ["kiss", "of", "death"] => Some(-1.5),
        ["beating", "heart"] => Some(3.5),
        _ => None,
    }
}

/// Dampeners of two words.
pub fn dampens(first: &str, second: &str) -> f64 {
    match (first, second) {
        ("just", "enough") | ("kind" | "sort", "of") => -BOOST,
        _ => 0.0,
    }
}
