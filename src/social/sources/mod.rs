//! Lists the providers of posts: each has a file of its own and a line in [`PROVIDERS`].
//!
//! A provider has either sources that are queried coin by coin ([`Source`]) or a stream of all posts, which one replica
//! follows ([`Stream`]). Its name is the one in `SOCIAL_PROVIDERS`, in the API and in the database.

mod bluesky;
mod mastodon;
mod simulation;
mod x;

use async_trait::async_trait;
use chrono::{DateTime, Utc};

use super::{
    post::{Page, Post},
    queries::Query,
};
use crate::{
    config::{Social, SocialSettings, SocialSpec},
    upstream::{Budget, Failure, Upstream},
};

/// All providers, in the order in which messages list them.
static PROVIDERS: &[Provider] = &[mastodon::PROVIDER, bluesky::PROVIDER, x::PROVIDER, simulation::PROVIDER];

pub use self::simulation::{NAME as SIMULATED, Simulated, cursor_of, time_of};

/// A kind of sources with settings of its own.
struct Provider {
    spec: &'static SocialSpec,
    kind: Kind,
}

/// How posts are read, with the function that applies the settings.
enum Kind {
    Queried(fn(&SocialSettings) -> Vec<Box<dyn Source>>),
    Followed(fn(&SocialSettings) -> Stream),
    /// Read while the market is simulated, instead of the others.
    Simulated,
}

/// A service that is queried for posts about one coin at a time.
#[async_trait(?Send)]
pub trait Source: Send + Sync {
    /// Unique, such as `mastodon:mastodon.social`; state, cursors and metrics are kept under it.
    fn name(&self) -> &str;

    /// The provider's name; posts of all its sources count as one.
    fn provider(&self) -> &'static str;

    /// Returns the terms that a search for this query would have; empty if it cannot search for it.
    fn terms(&self, query: &Query) -> Vec<String>;

    /// Its limit per UTC day; None if there is no limit and nothing is counted.
    fn budget(&self) -> Option<Budget> {
        None
    }

    /// The maximum cost of one [`Source::page`], if so many coins are read. It is reserved before.
    fn max_cost(&self, _coins: usize) -> u32 {
        0
    }

    /// Reads the posts that are newer than the cursor, newest first, without reposts and posts of bots. Adds to
    /// `billed` the cost that the provider may charge, also for a request that fails.
    async fn page(&self, upstream: &Upstream, search: Search<'_>, billed: &mut u32) -> Result<Page, Failure>;
}

/// The parameters of a search for posts about one coin.
#[derive(Clone, Copy)]
pub struct Search<'a> {
    pub query: &'a Query,
    /// The name of the coin in URLs.
    pub slug: &'a str,
    /// [`Page::cursor`] of the last answer.
    pub cursor: Option<&'a str>,
    /// The part of the budget that is reserved for it.
    pub max_cost: u32,
    pub now: DateTime<Utc>,
}

/// A websocket that sends all posts as text messages.
pub struct Stream {
    /// Also the provider's name.
    pub name: &'static str,
    /// `ws` or `wss`, with all parameters except for the cursor.
    pub url: String,
    /// The query parameter for the time of the event to continue after, in microseconds of Unix time.
    pub cursor_parameter: &'static str,
    /// The maximum size of a message in bytes; a larger one breaks the connection.
    pub max_message_size: usize,
    /// Reads a message; None for one without a time.
    pub decode: fn(&str) -> Option<Event>,
}

/// A message of a [`Stream`].
#[derive(Debug, PartialEq)]
pub struct Event {
    /// When the provider sent it, in microseconds of Unix time.
    pub micros: i64,
    /// None for everything but a new post.
    pub post: Option<Post>,
}

/// The settings of every provider.
pub fn specs() -> Vec<&'static SocialSpec> {
    PROVIDERS.iter().map(|provider| provider.spec).collect()
}

/// Returns the sources to query and the streams to follow, in the order of the settings.
pub fn open(settings: &Social) -> (Vec<Box<dyn Source>>, Vec<Stream>) {
    let (mut sources, mut streams) = (Vec::new(), Vec::new());
    for name in &settings.providers {
        let own = settings.settings_of(name);
        match PROVIDERS.iter().find(|provider| provider.spec.name == *name).map(|provider| &provider.kind) {
            Some(Kind::Queried(open)) => sources.extend(open(own)),
            Some(Kind::Followed(open)) => streams.push(open(own)),
            Some(Kind::Simulated) | None => {}
        }
    }
    (sources, streams)
}

/// Returns the name and the budget of each source and stream; of a simulated market, those of its posts.
pub fn budgets(settings: &Social, is_simulated: bool) -> Vec<(String, Option<Budget>)> {
    if is_simulated {
        let name = (!settings.providers.is_empty()).then(|| simulation::NAME.to_owned());
        return name.map(|name| (name, None)).into_iter().collect();
    }
    let (sources, streams) = open(settings);
    let sources = sources.iter().map(|source| (source.name().to_owned(), source.budget()));
    sources.chain(streams.iter().map(|stream| (stream.name.to_owned(), None))).collect()
}
