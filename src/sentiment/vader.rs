//! Scores texts with VADER, a rule-based model of the sentiment of short informal texts.
//!
//! Source: C. J. Hutto and E. Gilbert, "VADER: A Parsimonious Rule-based Model for Sentiment
//! Analysis of Social Media Text", ICWSM 2014. This is a port of the authors' Python package
//! `vaderSentiment` 3.3.2 that gives the same numbers for every text, so it also keeps its apparent
//! mistakes. The names of the rules are the package's; `s` in a comment is its source.

use super::lexicon::{self, Word};

/// Added to the valence of a word in capitals.
const CAPITALS: f64 = 0.733;
/// Factor of the valence of a negated word.
const NEGATED: f64 = -0.74;
/// Boosters count less the farther they are from the word.
const DISTANCE: [f64; 3] = [1.0, 0.95, 0.9];
/// Approximates the largest sum that occurs.
const ALPHA: f64 = 15.0;

/// The scores of a text: its negative, neutral and positive shares from 0 to 1 (three decimal places) and the normalised
/// sum from -1 to 1 (four). All are 0 for a text without words.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Scores {
    pub negative: f64,
    pub neutral: f64,
    pub positive: f64,
    pub compound: f64,
}

#[derive(Clone, Copy)]
pub struct Token<'a> {
    /// With the punctuation around it.
    pub written: &'a str,
    pub lower: &'a str,
    pub is_upper: bool,
    pub word: Word,
}

/// The words that the rules are applied to.
pub struct Vocabulary {
    /// Returns an emoji in words.
    pub emoji: fn(char) -> Option<&'static str>,
    /// Changes the words of tokens, or joins several to one.
    pub join: fn(Vec<Token<'_>>) -> Vec<Token<'_>>,
}

/// Scores a text of any length; the time grows with the square of the words after a "but".
pub fn score(text: &str) -> Scores {
    score_with(text, &Vocabulary { emoji: lexicon::emoji, join: |tokens| tokens })
}

/// Scores a text by the same rules with other words.
pub fn score_with(text: &str, vocabulary: &Vocabulary) -> Scores {
    let text = in_words(text, vocabulary.emoji);
    let text = text.trim_matches(is_space);
    let written: Vec<&str> = text.split(is_space).filter(|token| !token.is_empty()).collect();
    let stripped: Vec<&str> = written.iter().map(|token| strip(token)).collect();
    // In one string, because an allocation for each word would take most of the time.
    let mut lower = String::with_capacity(text.len() + 16);
    let lengths: Vec<usize> = stripped.iter().map(|token| push_lowercase(&mut lower, token)).collect();
    let mut rest = lower.as_str();
    let tokens = (0..written.len())
        .map(|at| {
            let (lower, after) = rest.split_at(lengths[at]);
            rest = after;
            Token {
                written: written[at],
                lower,
                is_upper: is_upper(stripped[at]),
                word: lexicon::word(lower),
            }
        })
        .collect();
    let tokens = (vocabulary.join)(tokens);
    let upper = tokens.iter().filter(|token| token.is_upper).count();
    let capitals_stand_out = 0 < upper && upper < tokens.len();
    let mut valences: Vec<f64> =
        (0..tokens.len()).map(|at| valence(&tokens, at, capitals_stand_out)).collect();
    but_check(&tokens, &mut valences);
    sum_up(&valences, punctuation_emphasis(text))
}

/// The text with its emoji described; one that follows a word or another emoji is set apart.
fn in_words(text: &str, emoji: fn(char) -> Option<&'static str>) -> std::borrow::Cow<'_, str> {
    if !text.chars().any(|c| emoji(c).is_some()) {
        return text.into();
    }
    let mut words = String::with_capacity(text.len() * 2);
    let mut after_space = true;
    for c in text.chars() {
        if let Some(description) = emoji(c) {
            if !after_space {
                words.push(' ');
            }
            words.push_str(description);
            after_space = false;
        } else {
            words.push(c);
            after_space = c == ' ';
        }
    }
    words.into()
}

/// Python's `str.isspace`: Unicode's white space and the four ASCII separators.
fn is_space(c: char) -> bool {
    c.is_whitespace() || ('\x1c'..='\x1f').contains(&c)
}

/// Without punctuation around it, unless that leaves so little that it was an emoticon.
fn strip(token: &str) -> &str {
    let stripped = token.trim_matches(|c: char| c.is_ascii_punctuation());
    if stripped.chars().nth(2).is_none() { token } else { stripped }
}

/// Appends the token in lower case; returns the number of bytes.
fn push_lowercase(lower: &mut String, token: &str) -> usize {
    let start = lower.len();
    if token.is_ascii() {
        lower.extend(token.chars().map(|c| c.to_ascii_lowercase()));
    } else {
        lower.push_str(&token.to_lowercase());
    }
    lower.len() - start
}

/// Python's `str.isupper`: an upper-case character and no lower-case or title-case one.
fn is_upper(token: &str) -> bool {
    let mut has_upper = false;
    for c in token.chars() {
        if c.is_lowercase() || is_titlecase(c) {
            return false;
        }
        has_upper |= c.is_uppercase();
    }
    has_upper
}

/// The general category Lt.
fn is_titlecase(c: char) -> bool {
    matches!(c, 'ǅ' | 'ǈ' | 'ǋ' | 'ǲ' | 'ᾈ'..='ᾏ' | 'ᾘ'..='ᾟ' | 'ᾨ'..='ᾯ' | 'ᾼ' | 'ῌ' | 'ῼ')
}

/// s: `polarity_scores` and `sentiment_valence`.
fn valence(tokens: &[Token<'_>], at: usize, capitals_stand_out: bool) -> f64 {
    let Token { lower, is_upper, word, .. } = tokens[at];
    let next = tokens.get(at + 1);
    let Some(listed) = word.valence else {
        return 0.0;
    };
    if word.boost != 0.0 || (lower == "kind" && next.is_some_and(|next| next.lower == "of")) {
        return 0.0;
    }
    let before = |distance: usize| at.checked_sub(distance).map(|at| tokens[at].lower);
    let mut valence = listed;
    // "no" negates a word of the lexicon that follows, instead of counting itself.
    if lower == "no" && next.is_some_and(|next| next.word.valence.is_some()) {
        valence = 0.0;
    }
    if before(1) == Some("no")
        || before(2) == Some("no")
        || (before(3) == Some("no") && matches!(before(1), Some("or" | "nor")))
    {
        valence = listed * NEGATED;
    }
    if is_upper && capitals_stand_out {
        valence += if valence > 0.0 { CAPITALS } else { -CAPITALS };
    }
    for distance in 1..=3.min(at) {
        let other = &tokens[at - distance];
        if other.word.valence.is_some() {
            continue;
        }
        let boost = boost(other, valence, capitals_stand_out);
        valence += boost * DISTANCE[distance - 1];
        valence = negation_check(tokens, at, distance, valence);
        if distance == 3 {
            valence = special_idioms_check(tokens, at, valence);
        }
    }
    least_check(tokens, at, valence)
}

/// s: `scalar_inc_dec`.
fn boost(token: &Token<'_>, valence: f64, capitals_stand_out: bool) -> f64 {
    let mut boost = token.word.boost;
    if boost == 0.0 {
        return 0.0;
    }
    if valence < 0.0 {
        boost = -boost;
    }
    if token.is_upper && capitals_stand_out {
        boost += if valence > 0.0 { CAPITALS } else { -CAPITALS };
    }
    boost
}

/// s: `_negation_check`; the grouping of its `and` and `or` for the third word is kept.
fn negation_check(tokens: &[Token<'_>], at: usize, distance: usize, valence: f64) -> f64 {
    let word = |distance: usize| tokens[at - distance].lower;
    let so_or_this = |distance| matches!(word(distance), "so" | "this");
    let (emphasised, certain) = match distance {
        2 => (word(2) == "never" && so_or_this(1), word(2) == "without" && word(1) == "doubt"),
        3 => (
            (word(3) == "never" && so_or_this(2)) || so_or_this(1),
            word(3) == "without" && (word(2) == "doubt" || word(1) == "doubt"),
        ),
        _ => (false, false),
    };
    if emphasised {
        valence * 1.25
    } else if !certain && tokens[at - distance].word.negates {
        valence * NEGATED
    } else {
        valence
    }
}

/// s: `_special_idioms_check`; called with three words before.
fn special_idioms_check(tokens: &[Token<'_>], at: usize, mut valence: f64) -> f64 {
    let word = |index: usize| tokens[index].lower;
    let [three, two, one, zero] = [word(at - 3), word(at - 2), word(at - 1), word(at)];
    let before: [&[&str]; 5] =
        [&[one, zero], &[two, one, zero], &[two, one], &[three, two, one], &[three, two]];
    if let Some(special) = before.iter().find_map(|words| lexicon::phrase(words)) {
        valence = special;
    }
    if at + 1 < tokens.len() {
        valence = lexicon::phrase(&[zero, word(at + 1)]).unwrap_or(valence);
    }
    if at + 2 < tokens.len() {
        valence = lexicon::phrase(&[zero, word(at + 1), word(at + 2)]).unwrap_or(valence);
    }
    valence + lexicon::dampens(three, two) + lexicon::dampens(two, one)
}

/// s: `_least_check`.
fn least_check(tokens: &[Token<'_>], at: usize, valence: f64) -> f64 {
    let is_least = |token: &Token<'_>| token.lower == "least" && token.word.valence.is_none();
    match &tokens[..at] {
        [.., before, least] if is_least(least) && matches!(before.lower, "at" | "very") => valence,
        [.., least] if is_least(least) => valence * NEGATED,
        _ => valence,
    }
}

/// Halves the valences before a "but" and multiplies those after it by 1.5. Where a value occurs twice, `s` changes the
/// first one (`list.index`), which may have been changed already.
fn but_check(tokens: &[Token<'_>], valences: &mut [f64]) {
    let Some(but) = tokens.iter().position(|token| token.lower == "but") else {
        return;
    };
    for at in 0..valences.len() {
        let value = valences[at];
        #[expect(clippy::float_cmp, reason = "the reference does this")]
        let first = valences.iter().position(|other| *other == value).unwrap_or(at);
        if first < but {
            valences[first] *= 0.5;
        } else if first > but {
            valences[first] *= 1.5;
        }
    }
}

/// Up to four exclamation marks; two question marks or more.
fn punctuation_emphasis(text: &str) -> f64 {
    let count = |mark: u8| text.bytes().filter(|byte| *byte == mark).count();
    let exclamations = [0.0, 1.0, 2.0, 3.0, 4.0][count(b'!').min(4)] * 0.292;
    let questions = match count(b'?') {
        0 | 1 => 0.0,
        2 => 2.0 * 0.18,
        3 => 3.0 * 0.18,
        _ => 0.96,
    };
    exclamations + questions
}

/// s: `score_valence` and `_sift_sentiment_scores`. The sums are plain: Python compensates for
/// rounding since 3.12, which can turn a sum of 0 into one that is not.
fn sum_up(valences: &[f64], emphasis: f64) -> Scores {
    if valences.is_empty() {
        return Scores::default();
    }
    let mut sum: f64 = valences.iter().fold(0.0, |sum, valence| sum + valence);
    if sum > 0.0 {
        sum += emphasis;
    } else if sum < 0.0 {
        sum -= emphasis;
    }
    let (mut positive, mut negative, mut neutral) = (0.0, 0.0, 0.0);
    for valence in valences {
        if *valence > 0.0 {
            positive += valence + 1.0;
        } else if *valence < 0.0 {
            negative -= valence - 1.0;
        } else {
            neutral += 1.0;
        }
    }
    if positive > negative {
        positive += emphasis;
    } else if positive < negative {
        negative += emphasis;
    }
    let total = positive + negative + neutral;
    Scores {
        negative: round(negative / total, 1e3),
        neutral: round(neutral / total, 1e3),
        positive: round(positive / total, 1e3),
        compound: round((sum / (sum * sum + ALPHA).sqrt()).clamp(-1.0, 1.0), 1e4),
    }
}

/// Python's `round`: the decimal number nearest to the exact value. Scaling is inexact, so a
/// value next to a tie is printed instead, which is exact.
fn round(value: f64, scale: f64) -> f64 {
    let scaled = value * scale;
    let rounded = if (scaled.fract().abs() - 0.5).abs() > 1e-6 {
        scaled.round() / scale
    } else if scale > 1e3 {
        format!("{value:.4}").parse().expect("a number")
    } else {
        format!("{value:.3}").parse().expect("a number")
    };
    // Not -0.
    rounded + 0.0
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    type Line = (String, f64, f64, f64, f64);

    fn reference() -> Vec<Line> {
        let file = std::fs::File::open("tests/fixtures/vader/reference.jsonl.gz").expect("fixture");
        let mut text = String::new();
        flate2::read::GzDecoder::new(file).read_to_string(&mut text).expect("UTF-8");
        text.lines().map(|line| serde_json::from_str(line).expect("a recorded text")).collect()
    }

    #[test]
    fn every_recorded_text_scores_as_the_reference_does() {
        let reference = reference();
        assert!(reference.len() > 6500, "{} texts", reference.len());
        let wrong: Vec<_> = reference
            .into_iter()
            .filter_map(|(text, negative, neutral, positive, compound)| {
                let wanted = Scores { negative, neutral, positive, compound };
                let scores = score(&text);
                (scores != wanted).then_some((text, scores, wanted))
            })
            .collect();
        assert!(wrong.is_empty(), "{} differ, such as {:#?}", wrong.len(), &wrong[..wrong.len().min(5)]);
    }

    #[test]
    fn rounding_is_that_of_the_decimal_number() {
        for (value, rounded) in
            [(0.0625, 0.062), (0.1875, 0.188), (0.0005, 0.001), (0.9995, 1.0), (-0.0001, 0.0)]
        {
            assert!((round(value, 1e3) - rounded).abs() < f64::EPSILON, "{value}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_text_has_scores_within_their_bounds(text in "(?s).{0,300}") {
            let scores = score(&text);
            proptest::prop_assert!((-1.0..=1.0).contains(&scores.compound));
            for share in [scores.negative, scores.neutral, scores.positive] {
                proptest::prop_assert!((0.0..=1.0).contains(&share));
            }
        }
    }
}
