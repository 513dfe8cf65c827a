//! Scores a text by VADER's rules, with the words of crypto markets in front of VADER's own.
//!
//! `crypto.tsv` holds the entries: words, phrases, emoji and kinds of numbers, each with a valence from -4 to 4 and the
//! reason for it. A phrase counts as one word. An entry of valence 0 takes the valence of VADER away, because the word has
//! another meaning here: "mining difficulty" is no complaint. Negations, boosters, capitals, "but" and punctuation work as
//! in VADER, and a text without any entry has the score of VADER.

use std::{collections::HashMap, sync::LazyLock};

use super::{
    lexicon::{self, Word},
    vader::{self, Token, Vocabulary},
};

/// The name and version of the list. It changes with every change of an entry or a rule.
pub const CRYPTO_LEXICON: &str = "crypto-1";

/// A smaller change is noise of the market.
const MIN_PERCENT: f64 = 1.0;
/// As in "moooon".
const STRETCHED: usize = 3;

/// What is known of some words in a row.
#[derive(Clone, Copy, Default)]
struct Entry {
    /// Not none at the end of an entry.
    valence: Option<f64>,
    /// A longer entry begins like this.
    continues: bool,
}

static LINES: &str = include_str!("crypto.tsv");

static ENTRIES: LazyLock<HashMap<String, Entry>> = LazyLock::new(|| {
    let mut entries = HashMap::<_, Entry>::with_capacity(16_000);
    for (entry, valence) in LINES.lines().map(columns) {
        for words in spellings(entry) {
            let mut key = String::new();
            for (at, word) in words.iter().enumerate() {
                push_key(&mut key, word);
                let entry = entries.entry(key.clone()).or_default();
                if at + 1 < words.len() {
                    entry.continues = true;
                } else {
                    entry.valence = Some(valence);
                }
            }
        }
    }
    entries
});

/// The emoji of the list, each followed by a space, so that it is a word of its own.
static EMOJI: LazyLock<HashMap<char, String>> = LazyLock::new(|| {
    let words = LINES.lines().flat_map(|line| spellings(columns(line).0)).flatten();
    let emoji = words.filter_map(|word| word.chars().next().filter(|c| is_symbol(*c)));
    emoji.map(|emoji| (emoji, format!("{emoji} "))).collect()
});

/// Returns the compound score of a text, from -1 to 1.
pub fn crypto(text: &str) -> f64 {
    vader::score_with(text, &Vocabulary { emoji, join }).compound
}

fn columns(line: &str) -> (&str, f64) {
    let mut columns = line.split('\t');
    let entry = columns.next().expect("an entry");
    (entry, columns.next().and_then(|valence| valence.parse().ok()).expect("a valence"))
}

/// Returns the phrases that an entry stands for: `go|goes up` is "go up" and "goes up".
fn spellings(entry: &str) -> Vec<Vec<&str>> {
    entry.split(' ').fold(vec![Vec::new()], |phrases, word| {
        let longer = |phrase: &Vec<_>, form| phrase.iter().copied().chain([form]).collect();
        phrases.iter().flat_map(|phrase| word.split('|').map(move |form| longer(phrase, form))).collect()
    })
}

fn emoji(c: char) -> Option<&'static str> {
    if c.is_ascii() {
        return None;
    }
    EMOJI.get(&c).map(String::as_str).or_else(|| lexicon::emoji(c))
}

/// Gives tokens the valences of the list; the longest entry wins.
fn join(tokens: Vec<Token<'_>>) -> Vec<Token<'_>> {
    let mut joined = Vec::with_capacity(tokens.len());
    let mut key = String::new();
    let mut rest = tokens.as_slice();
    while let Some(first) = rest.first() {
        let (mut token, mut count) = (*first, 1);
        if let Some((length, valence)) = longest(rest, &mut key) {
            count = length;
            token.is_upper = rest.iter().take(count).all(|token| token.is_upper);
            token.word = Word { valence: (valence != 0.0).then_some(valence), ..Word::default() };
            if count > 1 {
                token.lower = "";
            }
        } else if is_name(token.written) {
            token.word = Word::default();
        } else {
            token.word.negates |= token.lower.contains("n’t");
        }
        joined.push(token);
        rest = rest.get(count..).unwrap_or_default();
    }
    joined
}

/// Returns how many tokens the longest entry has that they begin with, and its valence.
fn longest(tokens: &[Token<'_>], key: &mut String) -> Option<(usize, f64)> {
    key.clear();
    let mut found = None;
    for (at, token) in tokens.iter().enumerate() {
        if is_name(token.written) {
            break;
        }
        push_key(key, token.written);
        let Some(entry) = ENTRIES.get(key.as_str()) else { break };
        found = entry.valence.map(|valence| (at + 1, valence)).or(found);
        if !entry.continues {
            break;
        }
    }
    if found.is_none() {
        let first = tokens.first()?;
        let valence = relaxed(first.written).find_map(|word| ENTRIES.get(&word)?.valence)?;
        found = Some((1, valence));
    }
    found
}

/// Tells whether a token is a cashtag or a handle, which name a coin or a person.
fn is_name(written: &str) -> bool {
    let mut characters = written.trim_start_matches(['(', '"', '.']).chars();
    matches!(characters.next(), Some('$' | '@')) && characters.next().is_some_and(char::is_alphabetic)
}

/// Returns a stretched word with two and with one of the repeated letters; nothing for other words.
fn relaxed(written: &str) -> impl Iterator<Item = String> {
    let shortened = |max: usize| {
        let letters: Vec<char> = written.chars().collect();
        let kept = |run: &[char]| if run.len() >= STRETCHED { max } else { run.len() };
        let word: String =
            letters.chunk_by(|a, b| a == b).flat_map(|run| run.iter().take(kept(run))).collect();
        let mut key = String::new();
        push_key(&mut key, &word);
        key
    };
    [2, 1].into_iter().filter(|_| is_stretched(written)).map(shortened)
}

fn is_stretched(written: &str) -> bool {
    let (mut before, mut run) = (None, 0);
    written.chars().any(|c| {
        run = if before == Some(c) && c.is_alphabetic() { run + 1 } else { 1 };
        before = Some(c);
        run == STRETCHED
    })
}

/// Appends the form of a word in which it is looked up: a number as `#`, `#x`, `#%`, `+#%` or `-#%`, and else its letters,
/// digits and emoji in lower case.
fn push_key(key: &mut String, written: &str) {
    if let Some(number) = number(written) {
        key.push_str(number);
        return;
    }
    for c in written.chars() {
        if c.is_ascii_alphanumeric() {
            key.push(c.to_ascii_lowercase());
        } else if c.is_alphanumeric() {
            key.extend(c.to_lowercase());
        } else if is_symbol(c) {
            key.push(c);
        }
    }
}

/// Tells whether a character is an arrow, sign or emoji, but no variation selector or skin colour.
fn is_symbol(c: char) -> bool {
    let is_modifier = matches!(c, '\u{fe00}'..='\u{fe0f}' | '\u{1f3fb}'..='\u{1f3ff}');
    c >= '\u{2190}' && !c.is_alphanumeric() && !is_modifier
}

/// Returns the kind of a number.
fn number(written: &str) -> Option<&'static str> {
    let around = |c: char| c.is_ascii_punctuation() && !matches!(c, '+' | '-' | '%');
    let text = written.trim_matches(around);
    let unsigned = text.trim_start_matches(['+', '-', '−', '–']);
    if !unsigned.starts_with(|c: char| c.is_ascii_digit()) {
        return None;
    }
    let digits = unsigned.trim_end_matches(['%', 'x', 'X', 'k', 'K']);
    if digits.contains(|c: char| !c.is_ascii_digit() && !matches!(c, '.' | ',')) {
        return None;
    }
    let unit = unsigned.strip_prefix(digits)?;
    let is_small = || digits.replace(',', "").parse::<f64>().is_ok_and(|value| value < MIN_PERCENT);
    match (unit, text.chars().next()?) {
        ("" | "k" | "K", '0'..='9') => Some(if digits == "0" { "0" } else { "#" }),
        ("x" | "X", '0'..='9') => Some("#x"),
        ("%", _) if is_small() => None,
        ("%", '0'..='9') => Some("#%"),
        ("%", '+') => Some("+#%"),
        ("%", _) => Some("-#%"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::{
        collections::{BTreeMap, HashSet},
        io::Read,
    };

    use super::*;

    const POSITIVE: &str = "positive";
    const NEUTRAL: &str = "neutral";
    const NEGATIVE: &str = "negative";

    fn label(compound: f64) -> &'static str {
        match compound {
            0.05.. => POSITIVE,
            ..=-0.05 => NEGATIVE,
            _ => NEUTRAL,
        }
    }

    fn assert_labels(wanted: &'static str, texts: &[&str]) {
        for text in texts {
            assert_eq!(label(crypto(text)), wanted, "{text}: {}", crypto(text));
        }
    }

    /// Returns the labelled posts of a part of the fixture.
    fn posts(part: &str) -> Vec<(String, String)> {
        let file = std::fs::read_to_string("tests/fixtures/crypto_posts.tsv").expect("fixture");
        let posts = file.lines().filter_map(|line| match line.split('\t').collect::<Vec<_>>()[..] {
            [label, text, of] => (of == part).then(|| (label.to_owned(), text.to_owned())),
            _ => panic!("not three columns: {line}"),
        });
        posts.collect()
    }

    /// Wilson's score interval (1927) for a share, with 95% confidence.
    fn wilson(count: f64, n: f64) -> (f64, f64) {
        let (z, share) = (1.959_964_f64, count / n);
        let middle = share + z * z / (2.0 * n);
        let half = z * (share * (1.0 - share) / n + z * z / (4.0 * n * n)).sqrt();
        ((middle - half) / (1.0 + z * z / n), (middle + half) / (1.0 + z * z / n))
    }

    #[test]
    fn held_out_posts_are_labelled_as_people_do_more_often_than_by_vader() {
        let docs = std::fs::read_to_string("docs/sentiment.md").expect("docs");
        for part in ["dev", "held-out"] {
            let posts = posts(part);
            let number = |count: usize| f64::from(u32::try_from(count).expect("few"));
            let accuracy = |score: fn(&str) -> f64| {
                let right = posts.iter().filter(|(wanted, text)| label(score(text)) == *wanted).count();
                let (right, n) = (number(right), number(posts.len()));
                let (low, high) = wilson(right, n);
                (right / n, format!("{:.2} ({low:.2} to {high:.2})", right / n))
            };
            let (vader, vader_text) = accuracy(|text| vader::score(text).compound);
            let (own, own_text) = accuracy(crypto);
            assert!(posts.len() >= 150 && own >= 0.70 && vader < own, "{part}: {vader_text}, {own_text}");
            let row = format!("| {part} | {} | {vader_text} | {own_text} |", posts.len());
            assert!(docs.contains(&row), "docs/sentiment.md lacks {row}");
        }
    }

    #[test]
    fn each_part_of_the_posts_has_the_three_labels_in_equal_parts_and_no_text_twice() {
        let mut texts = HashSet::new();
        for part in ["dev", "held-out"] {
            let mut counts = BTreeMap::new();
            for (label, text) in posts(part) {
                *counts.entry(label).or_insert(0_usize) += 1;
                assert!(texts.insert(text.to_lowercase()), "{text} occurs twice");
            }
            assert_eq!(counts.keys().collect::<Vec<_>>(), [NEGATIVE, NEUTRAL, POSITIVE]);
            let all: usize = counts.values().sum();
            assert!(counts.values().all(|count| (30..=36).contains(&(count * 100 / all))), "{counts:?}");
        }
    }

    #[test]
    fn every_entry_is_in_order_and_unique_and_has_a_valence_and_a_reason() {
        let lines: Vec<&str> = LINES.lines().collect();
        assert!(lines.is_sorted());
        let mut keys = BTreeMap::new();
        for line in lines {
            let [entry, valence, reason] = line.split('\t').collect::<Vec<_>>()[..] else {
                panic!("not three columns: {line}");
            };
            let value: f64 = valence.parse().expect("a number");
            assert!((-4.0..=4.0).contains(&value) && value.to_string() == valence, "{line}");
            assert!(reason.len() > 3 && reason.trim() == reason, "{line}");
            for words in spellings(entry) {
                let mut key = String::new();
                for word in &words {
                    let before = key.len();
                    push_key(&mut key, word);
                    assert!(key.len() > before && word.to_lowercase() == **word, "{line}");
                }
                let known = keys.insert(key, line);
                assert_eq!(known, None, "{words:?} occurs twice");
            }
        }
    }

    #[test]
    fn words_without_valence_have_one_in_vader() {
        for (entry, valence) in LINES.lines().map(columns).filter(|(entry, _)| !entry.contains(' ')) {
            for word in entry.split('|').filter(|_| valence == 0.0) {
                let emoji = word.chars().next().and_then(lexicon::emoji);
                assert!(lexicon::word(word).valence.is_some() || emoji.is_some(), "{word}");
            }
        }
    }

    #[test]
    fn a_text_without_an_entry_has_the_score_of_vader() {
        let file = std::fs::File::open("tests/fixtures/vader/reference.jsonl.gz").expect("fixture");
        let mut lines = String::new();
        flate2::read::GzDecoder::new(file).read_to_string(&mut lines).expect("UTF-8");
        let mut same = 0;
        for line in lines.lines() {
            let (text, _, _, _, compound): (String, f64, f64, f64, f64) =
                serde_json::from_str(line).expect("a recorded text");
            let is_known = |word: &str| {
                let mut key = String::new();
                push_key(&mut key, word);
                is_name(word)
                    || ENTRIES.contains_key(&key)
                    || relaxed(word).any(|key| ENTRIES.contains_key(&key))
            };
            let has_emoji = text.chars().any(|c| lexicon::emoji(c).is_some());
            let separator = |c: char| c.is_whitespace() || c.is_control();
            if !has_emoji && !text.contains('’') && !text.split(separator).any(is_known) {
                assert!((crypto(&text) - compound).abs() < f64::EPSILON, "{text}");
                same += 1;
            }
        }
        assert!(same > 500, "{same} texts");
    }

    #[test]
    fn the_language_of_markets_is_known() {
        assert_labels(
            POSITIVE,
            &[
                "to the moon",
                "#BuyTheDip",
                "diamond hands 💎🙌",
                "🚀🚀🚀",
                "All-time high!",
                "a short squeeze is coming",
                "wagmi",
                "moooooon",
                "bullishhhh",
                "BTC +12%",
                "ETH is up 8% today",
            ],
        );
        assert_labels(
            NEGATIVE,
            &[
                "rug pull",
                "another rugpull",
                "paper hands",
                "a dead-cat bounce",
                "pump & dump",
                "going to zero",
                "📉📉",
                "dumping🩸",
                "rekttttt",
                "BTC -30%",
                "down 20% since Monday",
            ],
        );
    }

    #[test]
    fn the_words_of_technique_have_no_sentiment() {
        assert_labels(
            NEUTRAL,
            &[
                "The mining difficulty is 83 T",
                "What are gas fees?",
                "proof of stake or proof of work",
                "Where is the kill switch of the contract?",
                "How do shares of the trust work?",
                "a bear market and a bull market",
                "bitcoin trades at 67,204",
                "the $TRUST and $HOPE tokens, by @great",
                "+0.2%",
                "https://example.com/moon",
            ],
        );
    }

    #[test]
    fn the_rules_of_vader_apply_to_entries() {
        let bullish = crypto("this is bullish");
        assert!(crypto("this is very bullish") > bullish);
        assert!(crypto("this is BULLISH") > bullish);
        assert!(crypto("this is bullish!!!") > bullish);
        assert!(crypto("this is not bullish") < 0.0 && crypto("this isn’t bullish") < 0.0);
        assert!(crypto("it isn't a rug pull") > 0.0);
        assert!(crypto("it was bullish but now it is a rug pull") < crypto("it was bullish, now a rug pull"));
        assert!(crypto("a great coin") > 0.6);
    }

    proptest::proptest! {
        #[test]
        fn any_text_has_a_score_within_its_bounds(text in "(?s).{0,200}") {
            proptest::prop_assert!((-1.0..=1.0).contains(&crypto(&text)));
        }

        #[test]
        fn any_mixture_of_entries_has_a_score_within_its_bounds(
            words in proptest::collection::vec(
                "(up|down|not|no|but|very|the|dip|buy|RUG|pull|moooon|[+-]?[0-9,.]{1,9}[%x]?|🚀|💎|[$@#]?[a-z]{1,3}|[^a-z])", 0..60,
            )
        ) {
            proptest::prop_assert!((-1.0..=1.0).contains(&crypto(&words.join(" "))));
        }
    }
}
