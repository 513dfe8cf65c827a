//! Detects the language of a text, scores its sentiment, and computes statistics of a sample. Pure functions.
//!
//! | file | function | source |
//! |---|---|---|
//! | `vader` | sentiment of a text | Hutto and Gilbert 2014 |
//! | `basic` | the same on words without stop words, for comparison | NLTK's stop words |
//! | `language` | whether a text is English | BCP 47 tags, `whichlang` |
//! | `statistics` | mean, shares, rate and its interval | Garwood 1936, Fay and Feuer 1997 |
//! | `mean` | interval of the mean of posts that depend on each other | Liang and Zeger 1986, Lazarus et al. 2018 |

mod basic;
mod language;
mod lexicon;
mod mean;
mod statistics;
mod vader;

pub use self::{
    basic::basic,
    language::is_english,
    mean::{Interval, clusters},
    statistics::{Confidence, Count, Opinion, Reason, Scored, Shares, rate, rate_interval},
    vader::{Scores, score},
};
