//! Reads every source once a slot, the least recently queried coins first.

use std::{
    collections::{HashMap, HashSet},
    time::{Duration, Instant},
};

use chrono::{DateTime, NaiveTime, SubsecRound, TimeDelta, Utc};
use diesel::{PgConnection, QueryResult};
use futures_util::future::join_all;
use parking_lot::Mutex;
use tokio::time;
use uuid::Uuid;

use super::{
    fingerprints::Fingerprints,
    matcher::Matcher,
    model::Social,
    post::{self, Page},
    queries::{Queries, Query, Target, queries_for},
    reading::Reading,
    silence::{Limits, Sources},
    sources::{self, Search, Simulated, Source, Stream},
    store::{self, Batch, Hold},
    summary::{Context, Known, summarise},
};
use crate::{
    clock::Clock,
    config,
    db::{CoinId, Db, DbError},
    simulation::World,
    upstream::{self, Failure, Upstream, after_failure},
};

/// A source is read for at most this long per slot; the remaining coins are the first of the next slot.
const MAX_READING_TIME: Duration = Duration::from_secs(20);
const MAX_CURSOR_LEN: usize = 100;
/// `popularity` compares every coin with this one.
const BITCOIN: &str = "bitcoin";
/// The name of the lease of the replica that queries the sources.
pub(super) const QUERIED: &str = "queried";
/// Longer than a reading takes.
const LEASE: TimeDelta = TimeDelta::seconds(60);
/// Streams are stored in intervals, so the newest event that is stored is a little older than now.
const STREAM_DELAY: TimeDelta = TimeDelta::seconds(15);

/// Reads the coins to look for, which are those of the newest snapshot; the market stores them. With `true` only while
/// they are simulated, otherwise only while they are not.
pub type ReadTargets = fn(&mut PgConnection, bool) -> QueryResult<Vec<Target>>;

/// What the market decides: which coins posts are read about, and how often.
#[derive(Clone, Copy)]
pub struct Schedule {
    pub read_targets: ReadTargets,
    /// Between two readings.
    pub interval: TimeDelta,
    /// Between two readings of simulated posts.
    pub simulated_interval: TimeDelta,
}

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
    limits: Limits,
    simulated_limits: Limits,
    /// Whether posts of a simulated market are read.
    reads_simulation: bool,
    /// Sources whose failure has been logged.
    unavailable: Mutex<HashSet<String>>,
}

/// The figures of a slot, to be published with its snapshot.
#[derive(Debug)]
pub struct Collected {
    summaries: HashMap<CoinId, Social>,
    /// The coins for which a source was read in this slot.
    read: HashSet<CoinId>,
    holder: Uuid,
    /// Whether the posts are of a simulated market.
    pub is_simulated: bool,
}

impl Collected {
    /// Replaces the stored figures and ends the lease of the reading. Returns false, without a change, if another replica
    /// reads the sources by now; its figures are newer.
    pub fn save(&self, conn: &mut PgConnection, now: DateTime<Utc>) -> QueryResult<bool> {
        let is_held = store::release_stream(conn, QUERIED, self.holder, now)?;
        if is_held {
            store::save_summaries(conn, &self.summaries)?;
        }
        Ok(is_held)
    }

    /// Returns the figures of the coins for which a source was read in this slot.
    pub fn new_figures(&self) -> impl Iterator<Item = (CoinId, &Social)> {
        let all = self.summaries.iter().map(|(coin, social)| (*coin, social));
        all.filter(|(coin, _)| self.read.contains(coin))
    }
}

/// The outcome of a search for posts about one coin.
enum SearchOutcome {
    Page(Page),
    /// The budget does not allow it now.
    NoBudget,
    Failed(Failure),
}

impl Collector {
    pub fn new(
        db: Db,
        clock: Clock,
        settings: &config::Social,
        upstream: Upstream,
        queries: Queries,
        fingerprints: Fingerprints,
        Schedule { read_targets, interval, simulated_interval }: Schedule,
    ) -> Self {
        let reads_simulation = !settings.providers.is_empty();
        let (sources, streams) = sources::open(settings);
        let limits = Limits::new(settings, interval, false);
        let simulated_limits = Limits::new(settings, simulated_interval, true);
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
            limits,
            simulated_limits,
            reads_simulation,
            unavailable,
        }
    }

    /// Whether any source is configured. While the market is simulated, its posts are read instead.
    pub fn has_sources(&self, is_simulated: bool) -> bool {
        if is_simulated {
            return self.reads_simulation;
        }
        !self.sources.is_empty() || !self.streams.is_empty()
    }

    /// Reads all sources and summarises what is stored. Returns None if there are no coins yet, if another replica reads,
    /// or while the database is unavailable.
    pub async fn collect(&self, world: Option<World>) -> Option<Collected> {
        match self.try_collect(world).await {
            Ok(collected) => collected,
            Err(error) => {
                tracing::warn!(%error, "cannot collect social figures; the previous ones are kept");
                None
            }
        }
    }

    async fn try_collect(&self, world: Option<World>) -> Result<Option<Collected>, DbError> {
        // The precision of the database, where `covered_until` comes from.
        let began = self.clock.now().trunc_subsecs(6);
        let Some(targets) = self.hold(world.is_some()).await? else { return Ok(None) };
        let queries = queries_for(&targets, &self.queries);
        let simulated = world.map(Simulated);
        if let Some(simulated) = &simulated {
            self.count_past(simulated.0, &targets).await?;
            self.read(simulated, &queries).await?;
        } else {
            let reading = join_all(self.sources.iter().map(|source| self.read(&**source, &queries)));
            reading.await.into_iter().collect::<Result<(), DbError>>()?;
        }
        let limits = if simulated.is_some() { &self.simulated_limits } else { &self.limits };
        let (now, limits) = (self.clock.now(), limits.clone());
        let ids: Vec<CoinId> = targets.iter().map(|target| target.id).collect();
        let known = self.db.query(move |conn| {
            store::prune(conn, now)?;
            Ok((store::known(conn, &ids, now)?, Sources::read(conn, limits)?))
        });
        let (known, sources) = known.await?;
        let bitcoin = targets.iter().find(|target| target.slug == BITCOIN).map(|target| target.id);
        let terms_of = |query: &Query| {
            simulated.as_ref().map_or_else(|| self.terms(query), |simulated| simulated.terms(query))
        };
        let terms = queries.iter().map(|(target, query)| (target.id, terms_of(query))).collect();
        let read =
            known.iter().filter(|(_, known)| self.is_new(known, began)).map(|(coin, _)| *coin).collect();
        let summaries = summarise(&known, terms, Context { bitcoin, sources: &sources, now });
        Ok(Some(Collected { summaries, read, holder: self.holder, is_simulated: simulated.is_some() }))
    }

    /// Takes the right to read the sources; None if another replica has it, or if there are no coins yet.
    async fn hold(&self, is_simulated: bool) -> Result<Option<Vec<Target>>, DbError> {
        let (holder, now, read_targets) = (self.holder, self.clock.now(), self.read_targets);
        let held = self.db.query_tx(move |conn| {
            let targets = read_targets(conn, is_simulated)?;
            if targets.is_empty() {
                return Ok(None);
            }
            let hold = store::hold_stream(conn, QUERIED, holder, now, now + LEASE)?;
            Ok(matches!(hold, Hold::Ours(_)).then_some(targets))
        });
        held.await
    }

    /// Returns the search terms of all sources and streams; empty if none can search for the coin.
    fn terms(&self, query: &Query) -> Vec<String> {
        if !self.streams.is_empty() {
            return query.terms();
        }
        let mut all = Vec::new();
        for term in self.sources.iter().flat_map(|source| source.terms(query)) {
            if !all.contains(&term) {
                all.push(term);
            }
        }
        all
    }

    /// Whether a source was read for the coin since then.
    fn is_new(&self, known: &Known, began: DateTime<Utc>) -> bool {
        known.coverage.iter().any(|one| {
            let is_stream = self.streams.iter().any(|stream| stream.name == one.source);
            one.until >= if is_stream { began - STREAM_DELAY } else { began }
        })
    }

    /// Queries a source coin by coin, until its limit of requests or the time limit is reached.
    async fn read(&self, source: &dyn Source, queries: &[(&Target, Query)]) -> Result<(), DbError> {
        let (name, now) = (source.name().to_owned(), self.clock.now());
        let stored = self.db.query(move |conn| {
            let state = upstream::state(conn, &name)?;
            Ok((state, store::cursors(conn, &name)?, store::tries(conn, &name)?))
        });
        let (state, cursors, tries) = stored.await?;
        if state.waits_until(now).is_some() {
            return Ok(());
        }
        let can_search = |(_, query): &&(&Target, Query)| !source.terms(query).is_empty();
        let mut order: Vec<_> = queries.iter().filter(can_search).collect();
        order.sort_by_key(|(target, _)| tries.get(&target.id));
        let mut reading = Reading::default();
        let deadline = time::Instant::now() + MAX_READING_TIME;
        for (target, query) in order {
            let begin = Instant::now();
            let cursor = cursors.get(&target.id).map(String::as_str);
            let search = self.search(source, target, query, cursor, queries.len());
            match time::timeout_at(deadline, search).await {
                Ok(Ok(SearchOutcome::Page(page))) => {
                    self.upstream.outcomes().count(source.name(), true, begin.elapsed());
                    reading.page(&page);
                    self.keep(source, target, query, page).await?;
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
        mut page: Page,
    ) -> Result<(), DbError> {
        let now = self.clock.now();
        if query.has_ambiguous_tags() {
            let matcher = Matcher::new([(target.id, query)]);
            page.posts.retain(|post| !matcher.coins(&post.text).is_empty());
        }
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

    #[test]
    fn a_budget_is_spread_over_the_day() {
        let at = |text: &str| allowance(2400, 11, post::time(text).expect("time"));
        assert_eq!(at("2026-11-20T00:00:00Z"), 11);
        assert_eq!(at("2026-11-20T12:00:00Z"), 1200);
        assert_eq!(at("2026-11-20T23:59:59Z"), 2399);
        assert_eq!(allowance(5, 11, DateTime::UNIX_EPOCH), 5);
    }
}
