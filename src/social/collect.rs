//! One slot: every source is read, for the coins that it was not asked about for longest first.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use actix_web::web::Data;
use chrono::{DateTime, NaiveTime, Utc};
use diesel::{PgConnection, QueryResult};
use futures_util::future::join_all;
use tokio::time;
use uuid::Uuid;

use super::{
    fingerprints::Fingerprints,
    model::Social,
    post::{self, Page},
    queries::{Queries, Query, Target, query_for},
    sources::{
        mastodon,
        x::{self, X},
    },
    store::{self, Batch},
    summary::summarise,
};
use crate::{
    clock::Clock,
    config::{self, SocialProvider},
    db::Db,
    http::Problem,
    upstream::{self, Advice, Budget, Failure, Outcomes, Upstream, after_failure},
};

/// A source is read for no longer in a slot; the coins that are left are the first of the next one.
const PATIENCE: Duration = Duration::from_secs(20);
/// Half of what Mastodon allows in the five minutes of a slot.
const REQUESTS_A_SLOT: u32 = 150;
/// Who fails for so many coins in a row has more wrong than a coin.
const FAILURES_IN_A_ROW: u32 = 3;
const LONGEST_CURSOR: usize = 100;
const BITCOIN: &str = "bitcoin";

/// Reads the sources and keeps what they say.
pub struct Collector {
    pub(super) db: Db,
    pub(super) clock: Clock,
    pub(super) settings: Data<config::Social>,
    pub(super) upstream: Upstream,
    pub(super) queries: Queries,
    pub(super) fingerprints: Fingerprints,
    pub(super) holder: Uuid,
    pub(super) outcomes: Arc<Outcomes>,
    /// The sources that the log knows to be away.
    away: Mutex<HashSet<String>>,
}

/// What a slot brought, to be published with its snapshot.
#[derive(Debug)]
pub struct Collected {
    summaries: HashMap<i64, Social>,
    began: DateTime<Utc>,
}

impl Collected {
    /// Publishes in the caller's transaction.
    ///
    /// # Errors
    /// The database cannot be written.
    pub fn publish(&self, conn: &mut PgConnection, snapshot_id: i64) -> QueryResult<()> {
        store::publish(conn, snapshot_id, &self.summaries, self.began)
    }
}

/// Somebody who can be asked.
enum Source<'a> {
    Mastodon { url: &'a str, name: String },
    X,
}

impl Source<'_> {
    fn name(&self) -> &str {
        match self {
            Self::Mastodon { name, .. } => name,
            Self::X => SocialProvider::X.name(),
        }
    }

    /// Whether it has a way to look for that.
    fn can_ask(&self, query: &Query) -> bool {
        match self {
            Self::Mastodon { .. } => !query.hashtags.is_empty(),
            Self::X => x::search_query(query).is_some(),
        }
    }

    fn provider(&self) -> SocialProvider {
        match self {
            Self::Mastodon { .. } => SocialProvider::Mastodon,
            Self::X => SocialProvider::X,
        }
    }
}

/// Everybody who can be asked.
fn asked(settings: &config::Social) -> Vec<Source<'_>> {
    let mut sources = Vec::new();
    for provider in &settings.providers {
        match provider {
            SocialProvider::X => sources.push(Source::X),
            SocialProvider::Mastodon => sources.extend(settings.mastodon_urls.iter().map(|url| {
                let host = url.split_once("://").map_or(url.as_str(), |(_, host)| host);
                Source::Mastodon { url, name: format!("mastodon:{host}") }
            })),
            SocialProvider::Bluesky => {}
        }
    }
    sources
}

/// The names of all sources, and what may be used of them.
pub fn sources(settings: &config::Social) -> Vec<(String, Option<Budget>)> {
    let of_x = Budget { a_day: settings.x_daily_posts, least: x::PAGE.start() + x::COUNTING };
    let budget = |source: &Source<'_>| matches!(source, Source::X).then_some(of_x);
    let asked = asked(settings);
    let mut sources: Vec<_> = asked.iter().map(|source| (source.name().to_owned(), budget(source))).collect();
    if settings.providers.contains(&SocialProvider::Bluesky) {
        sources.push((SocialProvider::Bluesky.name().to_owned(), None));
    }
    sources
}

impl Collector {
    pub fn new(
        db: Db,
        clock: Clock,
        settings: Data<config::Social>,
        upstream: Upstream,
        queries: Queries,
        fingerprints: Fingerprints,
        outcomes: Arc<Outcomes>,
    ) -> Self {
        let (holder, away) = (Uuid::now_v7(), Mutex::default());
        Self { db, clock, settings, upstream, queries, fingerprints, holder, outcomes, away }
    }

    /// None when nobody is listened to or the database is away.
    pub async fn collect(&self) -> Option<Collected> {
        if self.settings.providers.is_empty() {
            return None;
        }
        match self.try_collect().await {
            Ok(collected) => Some(collected),
            Err(problem) => {
                tracing::warn!(%problem, "what people say has to wait");
                None
            }
        }
    }

    async fn try_collect(&self) -> Result<Collected, Problem> {
        let began = self.clock.now();
        let targets = self.db.run(|conn| Ok::<_, Problem>(store::targets(conn)?)).await?;
        let sources = asked(&self.settings);
        let reading = join_all(sources.iter().map(|source| self.read(source, &targets)));
        reading.await.into_iter().collect::<Result<(), Problem>>()?;
        let now = self.clock.now();
        let bitcoin = targets.iter().find(|target| target.slug == BITCOIN).map(|target| target.id);
        let ids: Vec<i64> = targets.iter().map(|target| target.id).collect();
        let known = self
            .db
            .run(move |conn| {
                store::prune(conn, now)?;
                Ok::<_, Problem>(store::known(conn, &ids)?)
            })
            .await?;
        Ok(Collected { summaries: summarise(&known, bitcoin, now), began })
    }

    async fn read(&self, source: &Source<'_>, targets: &[Target]) -> Result<(), Problem> {
        let (name, now) = (source.name().to_owned(), self.clock.now());
        let (state, cursors, tries) = self
            .db
            .run(move |conn| {
                let state = upstream::state(conn, &name)?;
                Ok::<_, Problem>((state, store::cursors(conn, &name)?, store::tries(conn, &name)?))
            })
            .await?;
        if state.waits_until(now).is_some() {
            return Ok(());
        }
        let asked = targets.iter().map(|target| (target, query_for(target, &self.queries)));
        let mut order: Vec<_> = asked.filter(|(_, query)| source.can_ask(query)).collect();
        order.sort_by_key(|(target, _)| tries.get(&target.id));
        let (mut requests, mut answered, mut failed) = (0, false, 0);
        let mut flaw = None;
        let deadline = time::Instant::now() + PATIENCE;
        for (target, query) in order {
            let cursor = cursors.get(&target.id).map(String::as_str);
            let begin = Instant::now();
            let page = self.page(source, target, &query, cursor, targets.len());
            let Ok(result) = time::timeout_at(deadline, page).await else {
                if !answered {
                    flaw = Some(Failure::new(Advice::BackOff, "no answer in time"));
                }
                break;
            };
            let result = result?;
            if !matches!(result, Ok(None)) {
                self.outcomes.count(source.name(), result.is_ok(), begin.elapsed());
            }
            match result {
                Ok(Some(page)) => {
                    (answered, failed) = (true, 0);
                    requests += page.requests;
                    let enough = page.enough || requests >= REQUESTS_A_SLOT;
                    self.keep(source, target, &query, page).await?;
                    if enough {
                        break;
                    }
                }
                Ok(None) => break,
                Err(failure) if !failure.isolated => {
                    return self.failed(source.name(), failure, answered).await;
                }
                Err(failure) => {
                    let failure = failure.about(&target.slug);
                    failed += 1;
                    requests += 1;
                    if failed == FAILURES_IN_A_ROW {
                        return self.failed(source.name(), failure, answered).await;
                    }
                    flaw = Some(failure);
                }
            }
        }
        match (answered, flaw) {
            (true, flaw) => self.succeeded(source.name(), flaw).await,
            (false, Some(failure)) => self.failed(source.name(), failure, false).await,
            (false, None) => Ok(()),
        }
    }

    /// None when there is no budget for it now.
    async fn page(
        &self,
        source: &Source<'_>,
        target: &Target,
        query: &Query,
        cursor: Option<&str>,
        coins: usize,
    ) -> Result<Result<Option<Page>, Failure>, Problem> {
        let (now, coin) = (self.clock.now(), target.id);
        match source {
            Source::Mastodon { url, name } => {
                let name = name.clone();
                self.db.run(move |conn| Ok::<_, Problem>(store::note_try(conn, &name, coin, now)?)).await?;
                Ok(mastodon::fetch(&self.upstream, url, query, cursor, now).await.map(Some))
            }
            Source::X => {
                let (Some(query), Some(token)) = (x::search_query(query), &self.settings.x_token) else {
                    return Ok(Ok(None));
                };
                let size = page_size(self.settings.x_daily_posts, coins);
                let cost = size + x::COUNTING;
                if !self.reserve(coin, cost, now).await? {
                    return Ok(Ok(None));
                }
                let x = X { upstream: &self.upstream, url: &self.settings.x_url, token };
                let mut billed = 0;
                let page = x.fetch(&query, size, cursor, now, &mut billed).await;
                let (unused, today) = (cost.saturating_sub(billed), now.date_naive());
                let name = source.provider().name();
                self.db.run(move |conn| Ok::<_, Problem>(store::settle(conn, name, today, unused)?)).await?;
                Ok(page.map(Some))
            }
        }
    }

    /// Pays for a try from the day's budget, which is spread over the day.
    async fn reserve(&self, coin: i64, cost: u32, now: DateTime<Utc>) -> Result<bool, Problem> {
        let budget = allowance(self.settings.x_daily_posts, cost, now);
        let name = SocialProvider::X.name();
        self.db
            .tx(move |conn| {
                let paid = upstream::reserve(conn, name, cost, Some(budget), now.date_naive())?;
                if paid {
                    store::note_try(conn, name, coin, now)?;
                }
                Ok(paid)
            })
            .await
    }

    async fn keep(
        &self,
        source: &Source<'_>,
        target: &Target,
        query: &Query,
        page: Page,
    ) -> Result<(), Problem> {
        let now = self.clock.now();
        let names = names(target, query);
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let batch = Batch {
            provider: source.provider().name(),
            source: source.name().to_owned(),
            coin: target.id,
            posts: post::score(page.posts, target.id, &names, &self.fingerprints, now),
            cursor: page.cursor.filter(|cursor| cursor.len() <= LONGEST_CURSOR && !cursor.contains('\0')),
            complete_since: page.complete_since,
            counted: page.counted,
            read_at: now,
        };
        self.db.tx(move |conn| Ok(store::save(conn, &batch)?)).await
    }

    /// The source is left alone for a while; the longer, the longer it has not answered.
    pub(super) async fn failed(&self, source: &str, failure: Failure, answered: bool) -> Result<(), Problem> {
        let (name, now, message) = (source.to_owned(), self.clock.now(), failure.message.clone());
        let state = self
            .db
            .tx(move |conn| {
                if answered {
                    upstream::record_success(conn, &name, now)?;
                }
                let state = after_failure(&upstream::state(conn, &name)?, failure.advice, now);
                upstream::record_failure(conn, &name, &state, &failure.message, now)?;
                Ok::<_, Problem>(state)
            })
            .await?;
        // A state that lasts is told once.
        let is_new = self.away.lock().unwrap_or_else(PoisonError::into_inner).insert(source.to_owned());
        if state.stopped && is_new {
            tracing::error!(
                source,
                error = message,
                "it refuses us until its token or plan is in order; then restart (it is asked once a day)"
            );
        } else if is_new {
            let retry_at = state.retry_at.map(|at| at.to_rfc3339());
            tracing::info!(source, error = message, retry_at, "nobody can be heard there");
        }
        Ok(())
    }

    /// It answers, if not always.
    pub(super) async fn succeeded(&self, source: &str, flaw: Option<Failure>) -> Result<(), Problem> {
        let (name, now) = (source.to_owned(), self.clock.now());
        self.db
            .tx(move |conn| {
                upstream::record_success(conn, &name, now)?;
                if let Some(flaw) = flaw {
                    upstream::record_flaw(conn, &name, &flaw.message, now)?;
                }
                Ok::<_, Problem>(())
            })
            .await?;
        if self.away.lock().unwrap_or_else(PoisonError::into_inner).remove(source) {
            tracing::info!(source, "people can be heard again");
        }
        Ok(())
    }
}

/// Words that name the coin and so say nothing of the language.
pub fn names(target: &Target, query: &Query) -> HashSet<String> {
    let said = query.names.iter().chain(&query.ambiguous).chain(&query.hashtags);
    let own = [target.name.to_lowercase(), target.symbol.to_lowercase()];
    let words = |name: &str| {
        name.split_whitespace().map(|word| word.trim_start_matches(['#', '$']).to_owned()).collect::<Vec<_>>()
    };
    said.chain(&own).flat_map(|name| words(name)).collect()
}

/// Posts a request, so that the budget lasts for each coin every hour.
fn page_size(budget: u32, coins: usize) -> u32 {
    let visits = u32::try_from(coins.max(1) * 24).unwrap_or(u32::MAX);
    (budget / visits).clamp(*x::PAGE.start(), *x::PAGE.end())
}

/// What may have been used by now: the day's budget as far as the day (UTC) has gone, but always
/// enough for one request.
fn allowance(budget: u32, cost: u32, now: DateTime<Utc>) -> u32 {
    let seconds = (now.time() - NaiveTime::MIN).num_seconds().unsigned_abs();
    let share = u64::from(budget) * seconds / (24 * 60 * 60);
    u32::try_from(share).unwrap_or(budget).max(cost.min(budget))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_budget_of_x_is_spread_over_coins_and_hours() {
        assert_eq!([page_size(1000, 20), page_size(20_000, 20), page_size(1_000_000, 20)], [10, 41, 100]);
        assert_eq!(page_size(100, 0), 10);
        let at = |text: &str| allowance(2400, 11, post::time(text).expect("time"));
        assert_eq!(at("2026-11-20T00:00:00Z"), 11);
        assert_eq!(at("2026-11-20T12:00:00Z"), 1200);
        assert_eq!(at("2026-11-20T23:59:59Z"), 2399);
        assert_eq!(allowance(5, 11, DateTime::UNIX_EPOCH), 5);
    }
}
