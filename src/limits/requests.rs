//! Limits requests, over all servers.
//!
//! - **Far from a limit** the memory of this server decides, without a round trip. Each server admits a sixtieth of a
//!   limit before it shares what it has counted, so that three servers exceed a limit by at most 5 percent.
//! - **Near a limit**, or with more to share, the database decides. A background task asks for all requests that wait in
//!   one statement, so limits never use more than one connection.
//! - **Beyond a limit** the memory refuses until the time that the database has answered: a flood costs no round trip.
//! - **Without the database** each server counts for itself, and shares later what is still owed.

use std::{
    hash::{BuildHasher, RandomState},
    net::IpAddr,
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use actix_web::{HttpMessage, HttpRequest};
use aws_lc_rs::hmac::{self, HMAC_SHA256};
use parking_lot::Mutex;
use tokio::{sync::Notify, time};

use super::{
    RateLimit,
    debts::{Debts, Decision, Key, Name, State},
    exchange::{Asked, Batch, Questions, Verdict},
    store, too_many,
};
use crate::{
    clock::Clock,
    db::Db,
    http::{Problem, Quota},
    telemetry::Exposition,
};

/// How often counts are shared that no request waits for.
const INTERVAL: Duration = Duration::from_millis(200);
/// A request waits for the database this long; then this server decides alone.
const PATIENCE: Duration = Duration::from_secs(1);
/// Exchanges at the end of the process.
const MAX_LAST_EXCHANGES: usize = 100;

/// The limits of requests.
pub struct RateLimits {
    enabled: bool,
    clock: Clock,
    db: Db,
    hasher: RandomState,
    key: hmac::Key,
    debts: Mutex<Debts>,
    questions: Mutex<Questions>,
    asked: Notify,
    /// False while the database does not answer.
    is_shared: AtomicBool,
}

impl RateLimits {
    /// Takes a `key` that is derived from `SECRET_KEY`: a stolen dump does not reveal which addresses sent requests.
    pub fn new(enabled: bool, key: &[u8], db: Db, clock: Clock) -> Self {
        let (hasher, debts, questions, asked) = Default::default();
        let key = hmac::Key::new(HMAC_SHA256, key);
        let is_shared = AtomicBool::new(true);
        Self { enabled, clock, db, hasher, key, debts, questions, asked, is_shared }
    }

    /// Counts a request of `subject` against `limit`, and has the response state what is left. `subject` is the number of
    /// a UUID, or that of [`subjects`].
    ///
    /// # Errors
    /// `too-many-requests` with `Retry-After`.
    pub async fn count(&self, req: &HttpRequest, limit: RateLimit, subject: u128) -> Result<(), Problem> {
        if !self.enabled {
            return Ok(());
        }
        let (verdict, state) = self.decide(limit, subject).await;
        state_quota(req, limit, state);
        verdict.map_err(too_many)
    }

    /// Like [`RateLimits::count`], for a client's address. An IPv6 client has a whole /64 and easily a /48, so requests
    /// count against both; the /48 has four times the limit.
    pub async fn count_address(
        &self,
        req: &HttpRequest,
        limit: RateLimit,
        address: IpAddr,
    ) -> Result<(), Problem> {
        if !self.enabled {
            return Ok(());
        }
        let mut least: Option<(RateLimit, State)> = None;
        let mut verdict = Ok(());
        for (limit, subject) in subjects(limit, address).into_iter().flatten() {
            let (decided, state) = self.decide(limit, subject).await;
            if least.is_none_or(|(_, other)| state.remaining < other.remaining) {
                least = Some((limit, state));
            }
            verdict = decided;
            if verdict.is_err() {
                least = Some((limit, state));
                break;
            }
        }
        if let Some((limit, state)) = least {
            state_quota(req, limit, state);
        }
        verdict.map_err(too_many)
    }

    async fn decide(&self, limit: RateLimit, subject: u128) -> (Verdict, State) {
        let key = self.hasher.hash_one((limit.name, subject));
        let count = |is_shared| {
            let now = self.clock.now().timestamp_micros();
            let mut debts = self.debts.lock();
            let decision = debts.count(limit, key, now, is_shared, || self.name(limit, subject));
            (decision, debts.state(limit, key, now))
        };
        let (decision, state) = match count(self.is_shared()) {
            (Decision::AskDatabase, _) => match self.ask(limit, key, subject).await {
                Some(verdict) => {
                    let now = self.clock.now().timestamp_micros();
                    return (verdict, self.debts.lock().state(limit, key, now));
                }
                None => count(false),
            },
            decided => decided,
        };
        match decision {
            Decision::Refused(wait) => (Err(wait), state),
            Decision::Admitted | Decision::AskDatabase => (Ok(()), state),
        }
    }

    /// The decision of the database; None if it does not answer.
    async fn ask(&self, limit: RateLimit, key: Key, subject: u128) -> Option<Verdict> {
        let asked = Asked { key, limit, name: self.name(limit, subject) };
        let answer = self.questions.lock().add(asked)?;
        self.asked.notify_one();
        if let Ok(answer) = time::timeout(PATIENCE, answer).await {
            return answer.ok();
        }
        self.lose("no answer in time");
        None
    }

    /// Shares what is counted and asks for requests that wait, until the task is aborted.
    pub async fn share_forever(&self) {
        let mut ticks = time::interval(INTERVAL);
        ticks.set_missed_tick_behavior(time::MissedTickBehavior::Delay);
        loop {
            let is_tick = tokio::select! {
                () = self.asked.notified() => false,
                _ = ticks.tick() => true,
            };
            self.exchange(is_tick).await;
        }
    }

    /// Shares what is counted, at the end of the process.
    pub async fn share_rest(&self) {
        for _ in 0..MAX_LAST_EXCHANGES {
            if !self.exchange(true).await {
                return;
            }
        }
    }

    /// Makes one exchange with the database. Returns false if there was nothing to exchange, or if it failed.
    async fn exchange(&self, with_others: bool) -> bool {
        let now = self.clock.now();
        let batch = Batch::take(&mut self.questions.lock(), &mut self.debts.lock(), with_others, now);
        if batch.is_empty() {
            return false;
        }
        if !self.questions.lock().is_empty() {
            self.asked.notify_one();
        }
        let news = batch.news();
        match self.db.query_tx(move |conn| store::exchange(conn, &news, now)).await {
            Ok(answers) => {
                batch.settle(&mut self.debts.lock(), answers, self.clock.now());
                if !self.is_shared.swap(true, Ordering::Relaxed) {
                    tracing::info!("rate limits are shared with other servers again");
                }
                true
            }
            Err(error) => {
                self.lose(error);
                batch.put_back(&mut self.debts.lock());
                false
            }
        }
    }

    fn is_shared(&self) -> bool {
        self.is_shared.load(Ordering::Relaxed)
    }

    fn lose(&self, error: impl std::fmt::Display) {
        if self.is_shared.swap(false, Ordering::Relaxed) {
            tracing::warn!(
                %error,
                "cannot share rate limits with other servers: this server counts alone until the database answers"
            );
        }
    }

    /// The name of a key in the table: 128 bits of an HMAC, enough to avoid collisions.
    fn name(&self, limit: RateLimit, subject: u128) -> Name {
        let text = [limit.name.as_bytes(), b"\0", &subject.to_be_bytes()].concat();
        let mut name = Name::default();
        name.copy_from_slice(&hmac::sign(&self.key, &text).as_ref()[..16]);
        name
    }

    pub fn write(&self, metrics: &mut Exposition) {
        let name = "mintage_rate_limits_shared";
        let help = "1 if rate limits are shared with other servers, 0 while this server counts alone.";
        metrics.gauge(name, help, u8::from(self.is_shared()));
    }
}

fn state_quota(req: &HttpRequest, limit: RateLimit, state: State) {
    let State { remaining, full_in } = state;
    let quota = Quota { name: limit.name, limit: limit.burst, window: limit.window(), remaining, full_in };
    req.extensions_mut().insert(quota);
}

/// The limits that apply to an address, with the numbers that stand for whom they limit.
fn subjects(limit: RateLimit, address: IpAddr) -> [Option<(RateLimit, u128)>; 2] {
    let tagged = |prefix_length: u128, bits: u128| prefix_length << 120 | bits;
    match address.to_canonical() {
        IpAddr::V4(address) => [Some((limit, tagged(32, address.to_bits().into()))), None],
        IpAddr::V6(address) => {
            let bits = address.to_bits();
            let of_site = RateLimit { burst: limit.burst.saturating_mul(4), every: limit.every / 4, ..limit };
            // The /64 first, so that what it refuses does not use up the limit of its neighbours.
            [Some((limit, tagged(64, bits >> 64))), Some((of_site, tagged(48, bits >> 80)))]
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: RateLimit = RateLimit { name: "test", burst: 3, every: Duration::from_secs(10) };

    fn of(address: &str) -> Vec<(u32, u128)> {
        let subjects = subjects(LIMIT, address.parse().expect("address"));
        subjects.into_iter().flatten().map(|(limit, subject)| (limit.burst, subject)).collect()
    }

    #[test]
    fn an_ipv6_client_is_counted_by_its_64_and_its_48() {
        let one = of("2001:db8:1::1");
        assert_eq!(one.iter().map(|(burst, _)| *burst).collect::<Vec<_>>(), [3, 12]);
        assert_eq!(one, of("2001:db8:1::2"), "another address of the same /64");
        let subnet = of("2001:db8:1:1::1");
        assert_eq!(one[1], subnet[1]);
        assert_ne!(one[0], subnet[0], "another /64 of the same /48");
        assert_ne!(one[1], of("2001:db8:2::1")[1], "another /48");
    }

    #[test]
    fn an_ipv4_client_is_counted_by_its_address_in_any_form() {
        assert_eq!(of("203.0.113.9"), of("::ffff:203.0.113.9"));
        assert_ne!(of("203.0.113.9"), of("203.0.113.10"));
        assert_eq!(of("203.0.113.9").len(), 1);
    }

    /// An address must not use up the limit of another one whose bits are the same.
    #[test]
    fn the_subjects_of_addresses_do_not_collide() {
        let all: Vec<_> = ["0.0.0.1", "0:0:1::", "0:0:0:1::"].into_iter().flat_map(of).collect();
        let mut numbers: Vec<_> = all.iter().map(|(_, subject)| *subject).collect();
        numbers.sort_unstable();
        numbers.dedup();
        assert_eq!(numbers.len(), all.len());
    }
}
