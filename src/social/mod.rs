//! Reads posts about coins from social sources, and computes each coin's sentiment and popularity.
//!
//! While a slot's market is fetched, [`Collector::collect`] queries the sources, each with a pace and back-off of its own
//! (`sources`: X and Mastodon instances). A stream of all posts (Bluesky) is followed all the time by one replica
//! ([`Collector::follow_streams`]). Texts are in memory until they are scored (`post`). Times and scores of the newest
//! posts are stored, with keyed hashes that recognise repetitions (`fingerprints`). The figures are computed from those
//! (`summary`, `rates`) and published with the slot's snapshot. After a failure the previous figures stay, with their own
//! `as_of`.

mod collect;
mod fingerprints;
mod follow;
mod hours;
mod html;
mod kept;
mod matcher;
mod model;
mod past;
mod post;
mod queries;
mod rates;
mod reading;
mod silence;
mod sources;
mod store;
mod summary;
mod trends;
mod websocket;

pub use self::{
    collect::{Collected, Collector, Schedule},
    fingerprints::Fingerprints,
    model::{DroppedPosts, Missing, Social},
    queries::{Queries, Target, read_queries},
    silence::{Limits, SocialSource, SourceState, Sources},
    sources::{budgets, specs as provider_specs},
    store::current,
    trends::{Compared, Trend, last_full_hour, trends},
};
