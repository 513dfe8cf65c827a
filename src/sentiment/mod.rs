//! Detects the language of a text, scores its sentiment, and computes statistics of a sample. Pure functions.
//!
//! | file | function | source |
//! |---|---|---|
//! | `vader` | sentiment of a text | Hutto and Gilbert 2014 |
//! | `crypto` | the same with the words of crypto markets | `crypto.tsv` |
//! | `basic` | the same on words without stop words, for comparison | NLTK's stop words |
//! | `language` | whether a text is English | BCP 47 tags, `whichlang` |
//! | `statistics` | mean, interval, rate and its interval | Student 1908, Garwood 1936, Fay and Feuer 1997 |

mod basic;
mod crypto;
mod language;
mod lexicon;
mod statistics;
mod vader;

pub use self::{
    basic::basic,
    crypto::{CRYPTO_LEXICON, crypto},
    language::is_english,
    statistics::{Confidence, Count, Interval, Opinion, Reason, Scored, Shares, rate, rate_interval},
    vader::{Scores, score},
};
