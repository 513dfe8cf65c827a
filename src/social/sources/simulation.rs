//! Simulates posts about the coins of the simulated market, in the mood of its prices. They are read, filtered and scored
//! like real ones, and never together with them.

use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};

use super::{
    super::{
        post::{Page, Post},
        queries::Query,
    },
    Kind, Provider, Search, Source,
};
use crate::{
    config::SocialSpec,
    simulation::{self, World},
    upstream::{Failure, Upstream},
};

pub const NAME: &str = "simulation";
/// The posts of the time before the first reading.
const FIRST_READING: TimeDelta = TimeDelta::hours(24);
/// Per reading and coin: more than are written about any coin in a day in which its price moves all the time.
const MAX_POSTS: usize = 2500;

pub const PROVIDER: Provider = Provider {
    spec: &SocialSpec { name: NAME, is_default: false, urls: None, key: None, daily_budget: None },
    kind: Kind::Simulated,
};

/// The posts of a simulated market.
pub struct Simulated(pub World);

#[async_trait(?Send)]
impl Source for Simulated {
    fn name(&self) -> &str {
        NAME
    }

    fn provider(&self) -> &'static str {
        NAME
    }

    fn terms(&self, query: &Query) -> Vec<String> {
        query.terms()
    }

    async fn page(&self, _: &Upstream, search: Search<'_>, _: &mut u32) -> Result<Page, Failure> {
        let now = search.now;
        let last_reading = search.cursor.and_then(time_of);
        let after = last_reading.unwrap_or(now - FIRST_READING);
        let found = self.0.posts(search.slug, after, now, MAX_POSTS);
        let complete_since = match found.last() {
            Some(oldest) if found.len() == MAX_POSTS => Some(oldest.at),
            // What an earlier reading has covered stays covered.
            _ => last_reading.is_none().then_some(after),
        };
        let post = |post: simulation::Post| Post {
            id: post.id,
            author: post.author,
            at: post.at,
            language: None,
            thread: Some(post.thread),
            text: post.text,
        };
        Ok(Page {
            posts: found.into_iter().map(post).collect(),
            cursor: Some(cursor_of(now)),
            complete_since,
            ..Page::default()
        })
    }
}

/// Writes a cursor: the time of the last reading, in microseconds of Unix time.
pub fn cursor_of(at: DateTime<Utc>) -> String {
    at.timestamp_micros().to_string()
}

/// Reads a cursor.
pub fn time_of(cursor: &str) -> Option<DateTime<Utc>> {
    DateTime::from_timestamp_micros(cursor.parse().ok()?)
}
