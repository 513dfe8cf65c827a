//! What people say about coins: who is listened to, and what it amounts to.
//!
//! Beside the market of each slot [`Collector::collect`] reads the sources, each at its own pace
//! and back-off: X and the Mastodon instances are asked, Bluesky is a stream that one replica
//! follows all the time ([`Collector::listen`]). Texts live until they are scored ([`post`]); kept
//! are times and scores of the newest posts, and by what to recognise them ([`fingerprints`]). From
//! those the numbers are made ([`summary`]), which the slot's commit publishes with the snapshot.
//! What fails keeps what was said before, with its own `as_of`.

mod collect;
mod fingerprints;
mod follow;
mod html;
mod matcher;
mod model;
mod post;
mod queries;
mod sources;
mod store;
mod summary;
mod websocket;

pub use self::{
    collect::{Collected, Collector},
    fingerprints::Fingerprints,
    model::{Missing, Social},
    queries::{Queries, read_queries},
    sources::budgets,
    store::current,
};
