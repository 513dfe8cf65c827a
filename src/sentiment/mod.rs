//! Detects the language of a text, scores its sentiment, and computes statistics of a sample. Pure functions.
//!
//! | file | function | source |
//! |---|---|---|
//! | `vader` | sentiment of a text | Hutto and Gilbert 2014 |
//! | `crypto` | the same with the words of crypto markets | `crypto.tsv` |
//! | `basic` | the same on words without stop words, for comparison | NLTK's stop words |
//! | `language` | whether a text is English | BCP 47 tags, `whichlang` |
//! | `statistics` | mean and shares | Hutto and Gilbert 2014 |
//! | `mean` | interval of the mean of posts that depend on each other | Liang and Zeger 1986, Lazarus et al. 2018 |
//! | `rates` | rates, their ratio, and the intervals of both | Garwood 1936, Fay and Feuer 1997, Clopper and Pearson 1934 |

mod basic;
mod crypto;
mod language;
mod lexicon;
mod mean;
mod rates;
mod statistics;
mod vader;

pub use self::{
    basic::basic,
    crypto::{CRYPTO_LEXICON, crypto},
    language::is_english,
    mean::{Interval, clusters, mean_of_groups},
    rates::{Count, Ratio, rate, rate_interval, ratio, significant},
    statistics::{Confidence, Opinion, Reason, Scored, Shares},
    vader::{Scores, score},
};
