//! What a text says: its language, how it feels, and what a sample of texts amounts to. Pure
//! functions.

mod basic;
mod language;
mod lexicon;
mod statistics;
mod vader;

pub use self::{
    basic::basic,
    language::is_english,
    statistics::{Confidence, Count, Interval, Opinion, Reason, Scored, Shares, rate, rate_interval},
    vader::{Scores, score},
};
