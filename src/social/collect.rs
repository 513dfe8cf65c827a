//! Reads every source once a slot, the least recently queried coins first.

use std::{
    collections::{HashMap, HashSet},
    time::{Duration, Instant},
};

use actix_web::web::Data;
use chrono::{DateTime, NaiveTime, SubsecRound, Utc};
use diesel::{PgConnection, QueryResult};
use futures_util::future::join_all;
use parking_lot::Mutex;
use tokio::time;
use uuid::Uuid;

use super::{
    fingerprints::Fingerprints,
    model::Social,
    post::{self, Page},
    queries::{Queries, Query, Target, query_for},
    sources::{self, Search, Simulated, Source, Stream},
    store::{self, Batch},
    summary::summarise,
};
use crate::{
    clock::Clock,
    config,
    db::{CoinId, Db, DbError},
    simulation::World,
    upstream::{self, Advice, Failure, Upstream, after_failure},
};

/// A source is read for at most this long per slot; the remaining coins are the first of the next slot.
const MAX_READING_TIME: Duration = Duration::from_secs(20);
/// Half of the limit of Mastodon for the five minutes of a slot.
const MAX_REQUESTS: u32 = 150;
/// Consecutive failures, each of one coin, after which the whole source counts as failed.
const MAX_FAILURES_IN_A_ROW: u32 = 3;
const MAX_CURSOR_LEN: usize = 100;
/// `popularity` compares every coin with this one.
const BITCOIN: &str = "bitcoin";

/// Reads the coins to look for, which are those of the newest snapshot; the market stores them.
/// With `true` only while they are simulated, otherwise only while they are not.
pub type ReadTargets = fn(&mut PgConnection, bool) -> QueryResult<Vec<Target>>;

/// Reads the sources and stores scores of their posts.
pub struct Collector {
    pub(super) db: Db,
    pub(super) clock: Clock,
    pub(super) upstream: Upstream,
    pub(super) queries: Queries,
    pub(super) fingerprints: Fingerprints,
    pub(super) read_targets: ReadTargets,
    /// Identifies this process in leases.
    pub(super) holder: Uuid,
    pub(super) streams: Vec<Stream>,
    sources: Vec<Box<dyn Source>>,
    /// Whether posts of a simulated market are read.
    reads_simulation: bool,
    /// Sources whose failure has been logged.
    unavailable: Mutex<HashSet<String>>,
}

/// The figures of a slot, to be published with its snapshot.
#[derive(Debug)]
pub struct Collected {
    summaries: HashMap<CoinId, Social>,
    began: DateTime<Utc>,
}

impl Collected {
    /// Replaces the stored figures.
    pub fn save(&self, conn: &mut PgConnection) -> QueryResult<()> {
        store::save_summaries(conn, &self.summaries)
    }

    /// Returns the figures of the coins for which a source was read in this slot.
    pub fn new_figures(&self) -> impl Iterator<Item = (CoinId, &Social)> {
        let all = self.summaries.iter().map(|(coin, social)| (*coin, social));
        all.filter(|(_, social)| social.as_of >= self.began)
    }
}

/// The outcome of a search for posts about one coin.
enum SearchOutcome {
    Page(Page),
    /// The budget does not allow it now.
    NoBudget,
    Failed(Failure),
}

/// Counts the answers of a source in a slot, and decides when to stop.
#[derive(Default)]
struct Reading {
    requests: u32,
    failures_in_a_row: u32,
    /// At least one coin was answered.
    answered: bool,
    /// The newest failure of a single request, such as of one coin.
    isolated_failure: Option<Failure>,
    /// A failure of the whole source.
    failure: Option<Failure>,
    is_over: bool,
}

impl Reading {
    fn page(&mut self, page: &Page) {
        self.answered = true;
        self.failures_in_a_row = 0;
        self.requests += page.requests;
        self.is_over = page.enough || self.requests >= MAX_REQUESTS;
    }

    fn failed(&mut self, failure: Failure, coin: &str) {
        if !failure.isolated {
            self.failure = Some(failure);
            self.is_over = true;
            return;
        }
        let failure = failure.with_subject(coin);
        self.requests += 1;
        self.failures_in_a_row += 1;
        if self.failures_in_a_row == MAX_FAILURES_IN_A_ROW {
            self.failure = Some(failure);
            self.is_over = true;
        } else {
            self.isolated_failure = Some(failure);
        }
    }

    /// Ends the reading for lack of time. That is a failure only if nothing was answered.
    fn timed_out(&mut self) {
        self.is_over = true;
        if !self.answered {
            self.isolated_failure = Some(Failure::new(Advice::BackOff, "no answer in time"));
        }
    }
}

impl Collector {
    pub fn new(
        db: Db,
        clock: Clock,
        settings: Data<config::Social>,
        upstream: Upstream,
        queries: Queries,
        fingerprints: Fingerprints,
        read_targets: ReadTargets,
    ) -> Self {
        let reads_simulation = !settings.providers.is_empty();
        let (sources, streams) = sources::open(&settings);
        let (holder, unavailable) = (Uuid::now_v7(), Mutex::default());
        Self {
            db,
            clock,
            upstream,
            queries,
            fingerprints,
            read_targets,
            holder,
            streams,
            sources,
            reads_simulation,
            unavailable,
        }
    }

    /// Reads all sources and summarises what is stored; None without sources or while the database is unavailable.
    /// While the market is simulated, its posts are read instead.
    pub async fn collect(&self, world: Option<World>) -> Option<Collected> {
        let has_sources = match world {
            Some(_) => self.reads_simulation,
            None => !self.sources.is_empty() || !self.streams.is_empty(),
        };
        if !has_sources {
            return None;
        }
        match self.try_collect(world).await {
            Ok(collected) => Some(collected),
            Err(error) => {
                tracing::warn!(%error, "cannot collect social figures; the previous ones are kept");
                None
            }
        }
    }

    async fn try_collect(&self, world: Option<World>) -> Result<Collected, DbError> {
        // The precision of the database, where `as_of` comes from.
        let began = self.clock.now().trunc_subsecs(6);
        let targets = self.targets(world.is_some()).await?;
        if let Some(world) = world {
            self.read(&Simulated(world), &targets).await?;
        } else {
            let reading = join_all(self.sources.iter().map(|source| self.read(&**source, &targets)));
            reading.await.into_iter().collect::<Result<(), DbError>>()?;
        }
        let now = self.clock.now();
        let bitcoin = targets.iter().find(|target| target.slug == BITCOIN).map(|target| target.id);
        let ids: Vec<CoinId> = targets.iter().map(|target| target.id).collect();
        let known = self.db.query(move |conn| {
            store::prune(conn, now)?;
            store::known(conn, &ids)
        });
        Ok(Collected { summaries: summarise(&known.await?, bitcoin, now), began })
    }

    pub(super) async fn targets(&self, simulated: bool) -> Result<Vec<Target>, DbError> {
        let read = self.read_targets;
        self.db.query(move |conn| read(conn, simulated)).await
    }

    /// Queries a source coin by coin, until its limit of requests or the time limit is reached.
    async fn read(&self, source: &dyn Source, targets: &[Target]) -> Result<(), DbError> {
        let (name, now) = (source.name().to_owned(), self.clock.now());
        let stored = self.db.query(move |conn| {
            let state = upstream::state(conn, &name)?;
            Ok((state, store::cursors(conn, &name)?, store::tries(conn, &name)?))
        });
        let (state, cursors, tries) = stored.await?;
        if state.waits_until(now).is_some() {
            return Ok(());
        }
        let queries = targets.iter().map(|target| (target, query_for(target, &self.queries)));
        let mut order: Vec<_> = queries.filter(|(_, query)| source.can_search(query)).collect();
        order.sort_by_key(|(target, _)| tries.get(&target.id));
        let mut reading = Reading::default();
        let deadline = time::Instant::now() + MAX_READING_TIME;
        for (target, query) in order {
            let begin = Instant::now();
            let cursor = cursors.get(&target.id).map(String::as_str);
            let search = self.search(source, target, &query, cursor, targets.len());
            match time::timeout_at(deadline, search).await {
                Ok(Ok(SearchOutcome::Page(page))) => {
                    self.upstream.outcomes().count(source.name(), true, begin.elapsed());
                    reading.page(&page);
                    self.keep(source, target, &query, page).await?;
                }
                Ok(Ok(SearchOutcome::Failed(failure))) => {
                    self.upstream.outcomes().count(source.name(), false, begin.elapsed());
                    reading.failed(failure, &target.slug);
                }
                Ok(Ok(SearchOutcome::NoBudget)) => break,
                Ok(Err(error)) => return Err(error),
                Err(_) => reading.timed_out(),
            }
            if reading.is_over {
                break;
            }
        }
        match reading {
            Reading { failure: Some(failure), answered, .. } => {
                self.failed(source.name(), failure, answered).await
            }
            Reading { answered: true, isolated_failure, .. } => {
                self.succeeded(source.name(), isolated_failure).await
            }
            Reading { isolated_failure: Some(isolated_failure), .. } => {
                self.failed(source.name(), isolated_failure, false).await
            }
            _ => Ok(()),
        }
    }

    /// Reads the new posts about a coin, within the budget.
    async fn search(
        &self,
        source: &dyn Source,
        target: &Target,
        query: &Query,
        cursor: Option<&str>,
        coins: usize,
    ) -> Result<SearchOutcome, DbError> {
        let (now, max_cost) = (self.clock.now(), source.max_cost(coins));
        if !self.reserve(source, target.id, max_cost, now).await? {
            return Ok(SearchOutcome::NoBudget);
        }
        let mut billed = 0;
        let page = source
            .page(&self.upstream, Search { query, slug: &target.slug, cursor, max_cost, now }, &mut billed)
            .await;
        let unused = max_cost.saturating_sub(billed);
        if unused > 0 {
            let (name, today) = (source.name().to_owned(), now.date_naive());
            self.db.query(move |conn| upstream::refund(conn, &name, unused, today)).await?;
        }
        Ok(page.map_or_else(SearchOutcome::Failed, SearchOutcome::Page))
    }

    /// Reserves the cost of a search and records the try; false if the budget does not allow it. The budget of a day is
    /// spread over the day.
    async fn reserve(
        &self,
        source: &dyn Source,
        coin: CoinId,
        cost: u32,
        now: DateTime<Utc>,
    ) -> Result<bool, DbError> {
        let (name, budget) = (source.name().to_owned(), source.budget());
        let reserved = self.db.query_tx(move |conn| {
            if let Some(budget) = budget {
                let allowed = allowance(budget.per_day, cost, now);
                if !upstream::reserve(conn, &name, cost, Some(allowed), now.date_naive())? {
                    return Ok(false);
                }
            }
            store::note_try(conn, &name, coin, now)?;
            Ok(true)
        });
        reserved.await
    }

    async fn keep(
        &self,
        source: &dyn Source,
        target: &Target,
        query: &Query,
        page: Page,
    ) -> Result<(), DbError> {
        let now = self.clock.now();
        let names = names(target, query);
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let batch = Batch {
            provider: source.provider(),
            source: source.name().to_owned(),
            coin: target.id,
            posts: post::score(page.posts, target.id, &names, &self.fingerprints, now),
            cursor: page.cursor.filter(|cursor| cursor.len() <= MAX_CURSOR_LEN && !cursor.contains('\0')),
            complete_since: page.complete_since,
            counted: page.counted,
            read_at: now,
        };
        self.db.query_tx(move |conn| store::save(conn, &batch)).await
    }

    /// Records a failure. The more failures in a row, the longer the source is not queried.
    pub(super) async fn failed(&self, source: &str, failure: Failure, answered: bool) -> Result<(), DbError> {
        let (name, now, message) = (source.to_owned(), self.clock.now(), failure.message.clone());
        let recorded = self.db.query_tx(move |conn| {
            if answered {
                upstream::record_success(conn, &name, now)?;
            }
            let state = after_failure(&upstream::state(conn, &name)?, failure.advice, now);
            upstream::record_failure(conn, &name, &state, &failure.message, now)?;
            Ok(state)
        });
        let state = recorded.await?;
        // Once per outage, not once per slot.
        let is_new = self.unavailable.lock().insert(source.to_owned());
        if state.stopped && is_new {
            tracing::error!(
                source,
                error = message,
                "social source rejects our credentials: fix its token or plan and restart (retried daily)"
            );
        } else if is_new {
            let retry_at = state.retry_at.map(|at| at.to_rfc3339());
            tracing::info!(source, error = message, retry_at, "social source unavailable");
        }
        Ok(())
    }

    /// Records a success, and the failure for one coin, if any.
    pub(super) async fn succeeded(
        &self,
        source: &str,
        isolated_failure: Option<Failure>,
    ) -> Result<(), DbError> {
        let (name, now) = (source.to_owned(), self.clock.now());
        let recorded = self.db.query_tx(move |conn| {
            upstream::record_success(conn, &name, now)?;
            if let Some(isolated_failure) = isolated_failure {
                upstream::record_isolated_failure(conn, &name, &isolated_failure.message, now)?;
            }
            Ok(())
        });
        recorded.await?;
        if self.unavailable.lock().remove(source) {
            tracing::info!(source, "social source available again");
        }
        Ok(())
    }
}

/// Returns the words that name the coin. They do not count when the language of a post is detected.
pub fn names(target: &Target, query: &Query) -> HashSet<String> {
    let used = query.names.iter().chain(&query.ambiguous).chain(&query.hashtags);
    let own = [target.name.to_lowercase(), target.symbol.to_lowercase()];
    let words = |name: &str| {
        name.split_whitespace().map(|word| word.trim_start_matches(['#', '$']).to_owned()).collect::<Vec<_>>()
    };
    used.chain(&own).flat_map(|name| words(name)).collect()
}

/// Returns how much of a daily budget may be used by now: the share of the day (UTC) that is over, but always enough for
/// one request.
fn allowance(budget: u32, cost: u32, now: DateTime<Utc>) -> u32 {
    let seconds = (now.time() - NaiveTime::MIN).num_seconds().unsigned_abs();
    let share = u64::from(budget) * seconds / (24 * 60 * 60);
    u32::try_from(share).unwrap_or(budget).max(cost.min(budget))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn isolated() -> Failure {
        Failure { isolated: true, ..Failure::new(Advice::BackOff, "HTTP 500") }
    }

    #[test]
    fn a_budget_is_spread_over_the_day() {
        let at = |text: &str| allowance(2400, 11, post::time(text).expect("time"));
        assert_eq!(at("2026-11-20T00:00:00Z"), 11);
        assert_eq!(at("2026-11-20T12:00:00Z"), 1200);
        assert_eq!(at("2026-11-20T23:59:59Z"), 2399);
        assert_eq!(allowance(5, 11, DateTime::UNIX_EPOCH), 5);
    }

    #[test]
    fn three_failures_in_a_row_end_the_reading_and_a_page_begins_the_count_anew() {
        let mut reading = Reading::default();
        reading.failed(isolated(), "one");
        reading.failed(isolated(), "two");
        reading.page(&Page::default());
        reading.failed(isolated(), "three");
        reading.failed(isolated(), "four");
        assert!(!reading.is_over && reading.answered && reading.failure.is_none());
        reading.failed(isolated(), "five");
        assert!(reading.is_over);
        assert_eq!(reading.failure.expect("a failure").message, "five: HTTP 500");
    }

    #[test]
    fn a_failure_of_the_source_ends_the_reading_at_once() {
        let mut reading = Reading::default();
        reading.failed(Failure::new(Advice::Stop, "HTTP 401"), "one");
        assert!(reading.is_over);
        assert_eq!(reading.failure.expect("a failure").message, "HTTP 401");
    }

    #[test]
    fn a_limit_of_requests_ends_the_reading_without_a_failure() {
        let mut reading = Reading::default();
        reading.page(&Page { requests: MAX_REQUESTS - 1, ..Page::default() });
        assert!(!reading.is_over);
        reading.page(&Page { requests: 1, ..Page::default() });
        assert!(reading.is_over && reading.failure.is_none() && reading.isolated_failure.is_none());
        let mut reading = Reading::default();
        reading.page(&Page { enough: true, ..Page::default() });
        assert!(reading.is_over && reading.failure.is_none());
    }

    #[test]
    fn a_timeout_is_a_failure_only_if_nothing_was_answered() {
        let mut reading = Reading::default();
        reading.timed_out();
        assert!(reading.is_over && reading.isolated_failure.is_some());
        let mut reading = Reading::default();
        reading.page(&Page::default());
        reading.timed_out();
        assert!(reading.is_over && reading.isolated_failure.is_none());
    }
}
