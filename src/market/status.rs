//! Reads the status of the sync, for admins and as metrics.

use chrono::{DateTime, TimeDelta, Utc};
use diesel::{PgConnection, QueryResult};
use serde::Serialize;
use utoipa::ToSchema;

use super::{
    fear_and_greed,
    providers::{self, Provider},
    store::{self, SlotRow},
};
use crate::{
    clock::start_of_slot,
    config::{Coins, Social},
    social::budgets,
    telemetry::{Exposition, MetricType},
    upstream::{self, Budget, Limits, ServiceState},
};

const SLOTS_SHOWN: i64 = 10;

#[derive(Serialize, ToSchema)]
pub struct SyncStatus {
    /// Market data providers, in the order in which they are tried.
    providers: Vec<ServiceStatus>,
    /// Social sources.
    social: Vec<ServiceStatus>,
    /// Services that have figures of the whole market, which are read once an hour: the market data providers, as
    /// `coingecko:global`, and `alternative.me`. What they use counts in `providers`.
    global: Vec<ServiceStatus>,
    /// The newest slots of the schedule, the newest first, at most 10.
    slots: Vec<SlotStatus>,
    /// Seconds from the start of a slot to the next.
    #[schema(minimum = 1, example = 300)]
    interval_seconds: u64,
    /// When the next slot is due; in the past if a slot waits to be run, null if only demo data is configured.
    next_run_at: Option<DateTime<Utc>>,
}

/// Status of a provider or social source.
#[derive(Serialize, ToSchema)]
pub struct ServiceStatus {
    #[schema(example = "coingecko")]
    name: String,
    state: ServiceCondition,
    /// Number of failures since the last success.
    #[schema(minimum = 0, example = 0)]
    failures: i32,
    /// Earliest time of the next request.
    #[schema(example = json!(null))]
    retry_at: Option<DateTime<Utc>>,
    last_success_at: Option<DateTime<Utc>>,
    /// Text of the last error, such as `HTTP 503`. It begins with the slug of a coin if it concerns only that coin.
    #[schema(example = json!(null))]
    last_error: Option<String>,
    #[schema(example = json!(null))]
    last_error_at: Option<DateTime<Utc>>,
    /// Credits (CoinMarketCap), posts (X) or calls (other providers) used since midnight UTC; 0 for
    /// Mastodon and Bluesky, whose calls are not counted.
    #[schema(minimum = 0, example = 12)]
    used_today: u32,
    /// Maximum of `used_today`; null for no limit.
    #[schema(example = 333)]
    daily_budget: Option<u32>,
    /// As `used_today`, since the first of the month UTC.
    #[schema(minimum = 0, example = 240)]
    used_this_month: u32,
    /// Maximum of `used_this_month`; null for no limit.
    #[schema(example = 10_000)]
    monthly_budget: Option<u32>,
}

#[derive(Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum ServiceCondition {
    /// Requests may be sent.
    Ready,
    /// No request is sent before `retry_at`: the last one failed, or a budget is used up.
    Waiting,
    /// It rejects our key, plan or quota: an operator has to fix that and restart. Retried daily.
    Stopped,
}

#[derive(Serialize, ToSchema)]
pub struct SlotStatus {
    /// Start of the slot.
    slot: DateTime<Utc>,
    state: SlotCondition,
    /// Whether an admin requested it.
    #[schema(example = false)]
    requested: bool,
    /// Number of times it was started.
    #[schema(minimum = 0, example = 1)]
    attempts: i32,
    /// The provider of its snapshot.
    #[schema(example = "coingecko")]
    provider: Option<String>,
    finished_at: Option<DateTime<Utc>>,
}

#[derive(Clone, Copy, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum SlotCondition {
    /// Its snapshot is published.
    Done,
    Running,
    /// It was requested and has not started, or no provider answered and it will be retried. A request is fulfilled
    /// by the next slot at the latest.
    Waiting,
    /// The next slot started before any provider answered.
    Missed,
}

impl SyncStatus {
    pub fn read(
        conn: &mut PgConnection,
        settings: &Coins,
        social: &Social,
        now: DateTime<Utc>,
    ) -> QueryResult<Self> {
        let (states, is_simulated) = (upstream::states(conn)?, store::is_simulated(conn)?);
        let interval = if is_simulated { settings.simulated_interval } else { settings.sync_interval };
        let slots = store::last_slots(conn, SLOTS_SHOWN)?;
        let status = |name: &str, budget: (Limits, u32)| {
            let state = states.iter().find(|state| state.provider == name);
            ServiceStatus::new(name, state, budget, now)
        };
        let names = providers::real(settings).map(Provider::name);
        let providers: Vec<_> =
            names.map(|name| status(name, (providers::limits(settings.settings_of(name)), 1))).collect();
        let of_posts = |budget: Option<Budget>| {
            budget.map_or_else(Default::default, |budget| (Some(budget.per_day).into(), budget.min_cost))
        };
        let social = budgets(social, is_simulated).into_iter();
        let social = social.map(|(name, budget)| status(&name, of_posts(budget))).collect();
        let global = global_services(settings).into_iter();
        let global = global.map(|name| status(&name, (Limits::default(), 1))).collect();
        let current = start_of_slot(now, interval);
        let following = current + TimeDelta::from_std(interval).expect("at most a day");
        let next_run_at = (!providers.is_empty()).then(|| next_run(&slots, current, following));
        Ok(Self {
            providers,
            social,
            global,
            slots: slots.into_iter().map(|slot| SlotStatus::new(slot, current)).collect(),
            interval_seconds: interval.as_secs(),
            next_run_at,
        })
    }

    /// Writes the status as metrics; every replica writes the same values, which come from the database.
    pub fn write(&self, metrics: &mut Exposition) {
        // A simulation is one service, also if it has prices and posts.
        let is_provider =
            |social: &ServiceStatus| self.providers.iter().any(|provider| provider.name == social.name);
        let services = || {
            self.providers
                .iter()
                .chain(self.social.iter().filter(|social| !is_provider(social)))
                .chain(&self.global)
        };
        let mut gauge = |name, help, value: &dyn Fn(&ServiceStatus) -> Option<i64>| {
            let family = metrics.family(name, MetricType::Gauge, help);
            for service in services() {
                if let Some(value) = value(service) {
                    family.sample(&[("service", &service.name)], value);
                }
            }
        };
        gauge(
            "mintage_sync_ready",
            "1 if requests may be sent to the service, 0 if it waits or is stopped.",
            &|service| Some(i64::from(service.state == ServiceCondition::Ready)),
        );
        gauge("mintage_sync_failures", "Failures of the service since its last success.", &|service| {
            Some(service.failures.into())
        });
        let name = "mintage_sync_last_success_timestamp_seconds";
        gauge(name, "When the service answered last.", &|service| Some(service.last_success_at?.timestamp()));
        let name = "mintage_sync_last_error_timestamp_seconds";
        gauge(name, "When the service failed last.", &|service| Some(service.last_error_at?.timestamp()));
        gauge(
            "mintage_sync_budget_used",
            "Credits, posts or calls used since midnight UTC, of services with a daily count.",
            &|service| Some(service.used_today.into()),
        );
        gauge("mintage_sync_budget", "Maximum of mintage_sync_budget_used.", &|service| {
            service.daily_budget.map(i64::from)
        });
        gauge(
            "mintage_sync_monthly_budget_used",
            "Credits, posts or calls used since the first of the month UTC, of services with a daily count.",
            &|service| Some(service.used_this_month.into()),
        );
        gauge("mintage_sync_monthly_budget", "Maximum of mintage_sync_monthly_budget_used.", &|service| {
            service.monthly_budget.map(i64::from)
        });
        if let Some(next) = self.next_run_at {
            let name = "mintage_sync_next_run_timestamp_seconds";
            metrics.gauge(name, "When the next slot is due.", next.timestamp());
        }
    }
}

/// The names of the services that have figures of the whole market, in the order in which they are tried.
fn global_services(settings: &Coins) -> Vec<String> {
    let providers =
        providers::real(settings).filter(|provider| settings.global && provider.global().is_some());
    let index = settings.fear_and_greed_url.as_ref().filter(|_| providers::wants_real(settings));
    let index = index.map(|_| fear_and_greed::SOURCE.to_owned());
    providers.map(|provider| providers::global_service(provider.name())).chain(index).collect()
}

/// Returns when a slot of the current interval will be retried, or the start of the following interval.
fn next_run(slots: &[SlotRow], current: DateTime<Utc>, following: DateTime<Utc>) -> DateTime<Utc> {
    let waits = |slot: &&SlotRow| slot.finished_at.is_none() && !slot.running && slot.slot >= current;
    let retry = slots.iter().filter(waits).map(|slot| slot.lease_until).min();
    retry.map_or(following, |retry| retry.min(following))
}

impl ServiceStatus {
    /// `min_cost` is that of the cheapest call.
    fn new(
        name: &str,
        state: Option<&ServiceState>,
        (limits, min_cost): (Limits, u32),
        now: DateTime<Utc>,
    ) -> Self {
        let state = state.cloned().unwrap_or_default();
        let retry_at = state.waits_until(now).max(state.is_spent_until(limits, min_cost, now));
        let (used_today, used_this_month) = (state.used_today(now), state.used_this_month(now));
        Self {
            name: name.to_owned(),
            state: match (state.stopped, retry_at) {
                (true, _) => ServiceCondition::Stopped,
                (false, Some(_)) => ServiceCondition::Waiting,
                (false, None) => ServiceCondition::Ready,
            },
            failures: state.failures,
            retry_at,
            last_success_at: state.last_success_at,
            last_error: state.last_error,
            last_error_at: state.last_error_at,
            used_today,
            daily_budget: limits.per_day,
            used_this_month,
            monthly_budget: limits.per_month,
        }
    }
}

impl SlotStatus {
    fn new(row: SlotRow, current: DateTime<Utc>) -> Self {
        let state = match row.finished_at {
            Some(_) => SlotCondition::Done,
            None if row.running => SlotCondition::Running,
            None if row.requested || row.slot >= current => SlotCondition::Waiting,
            None => SlotCondition::Missed,
        };
        Self {
            slot: row.slot,
            state,
            requested: row.requested,
            attempts: row.attempt,
            provider: row.provider,
            finished_at: row.finished_at,
        }
    }
}
