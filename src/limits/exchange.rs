//! Requests that wait for the database to decide about them, and what is sent to it in one exchange.

use std::{
    collections::{BTreeMap, HashMap},
    time::Duration,
};

use chrono::{DateTime, Utc};
use tokio::sync::oneshot;

use super::{
    RateLimit,
    debts::{Debts, Key, Name, Unshared, micros},
    store::{Answer, News},
};

/// Keys of each kind in one exchange: those that are asked about, and those that are only shared.
pub(super) const BATCH: usize = 500;
/// Requests that wait; further ones are decided by this server alone.
const MAX_WAITING: usize = 10_000;

/// Whether a request is admitted, or how long to wait.
pub(super) type Verdict = Result<(), Duration>;

/// A key whose debt is looked up in the database.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asked {
    pub key: Key,
    pub limit: RateLimit,
    pub name: Name,
}

/// The requests that wait.
#[derive(Default)]
pub(super) struct Questions {
    by_key: HashMap<Key, (Asked, Vec<oneshot::Sender<Verdict>>)>,
    waiting: usize,
}

impl Questions {
    /// Adds a request; None if too many wait. The receiver fails if the database does not answer.
    pub fn add(&mut self, asked: Asked) -> Option<oneshot::Receiver<Verdict>> {
        if self.waiting >= MAX_WAITING {
            return None;
        }
        let (answer, answered) = oneshot::channel();
        self.by_key.entry(asked.key).or_insert_with(|| (asked, Vec::new())).1.push(answer);
        self.waiting += 1;
        Some(answered)
    }

    pub fn is_empty(&self) -> bool {
        self.by_key.is_empty()
    }

    fn take(&mut self) -> Vec<(Asked, Vec<oneshot::Sender<Verdict>>)> {
        let keys: Vec<_> = self.by_key.keys().copied().take(BATCH).collect();
        let taken: Vec<_> = keys.iter().filter_map(|key| self.by_key.remove(key)).collect();
        self.waiting -= taken.iter().map(|(_, waiting)| waiting.len()).sum::<usize>();
        taken
    }
}

/// What one exchange is about, by key.
pub(super) struct Batch(BTreeMap<Key, Entry>);

struct Entry {
    shared: Unshared,
    waiting: Vec<oneshot::Sender<Verdict>>,
}

impl Batch {
    /// Takes keys that are asked about, and if `with_others` also keys that only have requests to share.
    pub fn take(questions: &mut Questions, debts: &mut Debts, with_others: bool, now: DateTime<Utc>) -> Self {
        let now = now.timestamp_micros();
        let mut entries = BTreeMap::new();
        for (Asked { key, limit, name }, waiting) in questions.take() {
            let shared = Unshared { key, limit, name, requests: debts.unshared(key, now) };
            entries.insert(key, Entry { shared, waiting });
        }
        if with_others {
            for shared in debts.take_unshared(BATCH, now) {
                entries.entry(shared.key).or_insert(Entry { shared, waiting: Vec::new() });
            }
        }
        Self(entries)
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What is sent, in the order in which all servers lock the rows.
    pub fn news(&self) -> Vec<News> {
        let mut news: Vec<_> = self.0.values().map(Entry::news).collect();
        news.sort_unstable_by_key(|one| (one.limit.name, one.limit.burst, one.limit.every, one.name));
        news
    }

    /// Takes over the answers of the database and lets the requests go on.
    pub fn settle(self, debts: &mut Debts, answers: Vec<Answer>, now: DateTime<Utc>) {
        let mut answers: HashMap<_, _> = answers.into_iter().map(|one| (one.key.clone(), one)).collect();
        for Entry { shared, waiting } in self.0.into_values() {
            let Some(answer) = answers.remove(shared.name.as_slice()) else {
                continue;
            };
            let (free_at, now) = (answer.free_at.timestamp_micros(), now.timestamp_micros());
            debts.settle(shared, free_at, now);
            let limit = shared.limit;
            let wait = (free_at - now + micros(limit.every) - micros(limit.window())).max(1).unsigned_abs();
            let granted = usize::try_from(answer.granted).unwrap_or(0);
            let mut unclaimed = 0;
            for (place, request) in waiting.into_iter().enumerate() {
                let verdict = if place < granted { Ok(()) } else { Err(Duration::from_micros(wait)) };
                if let Err(Ok(())) = request.send(verdict) {
                    unclaimed += 1;
                }
            }
            debts.claim(shared.key, unclaimed);
        }
    }

    /// Keeps what could not be sent. The requests that wait are decided by this server alone.
    pub fn put_back(self, debts: &mut Debts) {
        let shared: Vec<_> = self.0.into_values().map(|entry| entry.shared).collect();
        debts.put_back(&shared);
    }
}

impl Entry {
    fn news(&self) -> News {
        let Unshared { limit, name, requests, .. } = self.shared;
        let used = requests.min(limit.burst);
        let wanted = u32::try_from(self.waiting.len()).unwrap_or(u32::MAX).min(limit.burst - used);
        News { limit, name, used, wanted }
    }
}
