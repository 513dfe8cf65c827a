//! Hashes and verifies passwords on threads that do nothing else, so that many log-ins do not occupy the threads that
//! answer other requests. The [`Queue`] decides the order.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use aws_lc_rs::hmac;
use base64::{Engine, prelude::BASE64_STANDARD};
use bcrypt::{BcryptError, BcryptResult, HashParts};
use tokio::{sync::oneshot, time};

use super::{
    foreign::{Foreign, Unusable},
    queue::{MAX_WAIT, Queue, overloaded},
};
use crate::{
    config::Passwords,
    http::{Network, Problem},
    tasks::Tasks,
};

/// A salt and digest in bcrypt's alphabet. Verifying against it takes as long as against a real hash.
const DUMMY_SALT_AND_DIGEST: &str = "abcdefghijklmnopqrstuuABCDEFGHIJKLMNOPQRSTUVWXYZabcde";
/// In the place of a hash: no password matches it, and a comparison takes as long as any other.
pub const UNUSABLE: &str = "!";
/// The lowest cost of bcrypt.
const LOWEST_COST: u32 = 4;
/// How long a request waits for a hash that has begun. At the highest cost a hash takes seconds.
const MAX_RUN: Duration = Duration::from_secs(30);

/// Passes passwords to the hashing threads. Cheap to clone.
#[derive(Clone)]
pub struct Hasher {
    cost: u32,
    queue: Arc<ClosesQueue>,
    dummy: Arc<str>,
}

/// Ends the threads when the last [`Hasher`] is dropped.
struct ClosesQueue(Arc<Queue>);

impl Drop for ClosesQueue {
    fn drop(&mut self) {
        self.0.close();
    }
}

/// The right to hash one password. A request takes it before anything else, so that it is refused at once and at no
/// cost if the queue is full.
pub struct HashPermit<'a> {
    hasher: &'a Hasher,
    slot: QueueSlot,
}

/// A slot in the queue. It becomes free when the hash is made, or when the request ends before it was queued.
struct QueueSlot {
    queue: Arc<Queue>,
    network: Network,
}

impl Drop for QueueSlot {
    fn drop(&mut self) {
        self.queue.leave(self.network);
    }
}

/// A queued job. Dropping this withdraws the job if it has not begun, because its request has ended.
struct Queued<'a> {
    queue: &'a Queue,
    number: u64,
}

impl Queued<'_> {
    /// Withdraws the job. Returns false if it has begun.
    fn withdraw(&self) -> bool {
        self.queue.withdraw(self.number)
    }
}

impl Drop for Queued<'_> {
    fn drop(&mut self) {
        self.withdraw();
    }
}

/// The result of a verification.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    Wrong,
    Right,
    /// Right, but stored with another cost than the configured one, or by another system. Carries the hash with the configured cost.
    RightButOutdated(String),
}

impl Hasher {
    /// Starts the threads. They end when the last clone is dropped.
    pub fn start(settings: &Passwords, tasks: &Tasks) -> std::io::Result<Self> {
        let queue = Arc::new(Queue::new(settings, estimate(settings.cost)));
        for number in 0..settings.threads {
            let queue = queue.clone();
            tasks.thread(&format!("hash-{number}"), move || queue.work())?;
        }
        let cost = settings.cost;
        let dummy = dummy(cost).into();
        Ok(Self { cost, queue: Arc::new(ClosesQueue(queue)), dummy })
    }

    /// Returns how many hashes run or wait, and the maximum.
    pub fn in_use(&self) -> (usize, usize) {
        self.queue.0.in_use()
    }

    /// Hashes on this thread, for the command line.
    pub fn hash_now(password: &str, cost: u32) -> BcryptResult<String> {
        bcrypt::hash(prehash(password), cost)
    }

    /// Takes a permit for a client of this network.
    ///
    /// # Errors
    /// `overloaded`: the queue is full, this network has used its share of it, or the wait would be longer than 2
    /// seconds.
    pub fn reserve(&self, network: Network) -> Result<HashPermit<'_>, Problem> {
        let queue = self.queue.0.clone();
        queue.enter(network)?;
        Ok(HashPermit { hasher: self, slot: QueueSlot { queue, network } })
    }
}

impl HashPermit<'_> {
    pub async fn hash(self, password: String) -> Result<String, Problem> {
        let cost = self.hasher.cost;
        self.run(move || Hasher::hash_now(&password, cost)).await?.map_err(Problem::internal)
    }

    /// Hashes with the given salt, so that equal passwords have equal hashes.
    pub async fn hash_with_salt(self, password: String, salt: [u8; 16]) -> Result<String, Problem> {
        let cost = self.hasher.cost;
        let hash = move || bcrypt::hash_with_salt(prehash(&password), cost, salt);
        Ok(self.run(hash).await?.map_err(Problem::internal)?.to_string())
    }

    /// Verifies like [`HashPermit::verify`]. After [`Verdict::Wrong`] it also compares the password with the hashes of
    /// pending registrations, and returns whether one matches. They must share one salt: hashes with another salt than
    /// the first do not match. The time does not depend on their number.
    pub async fn verify_with_pending(
        self,
        password: String,
        stored: Option<String>,
        pending: Vec<String>,
    ) -> Result<(Verdict, bool), Problem> {
        let (cost, dummy) = (self.hasher.cost, self.hasher.dummy.clone());
        self.run(move || {
            let verdict = verify(&password, stored.as_deref(), &dummy, cost)?;
            let matches_pending = verdict == Verdict::Wrong && is_one_of(&password, &pending, &dummy, cost)?;
            Ok((verdict, matches_pending))
        })
        .await?
        .map_err(|error: BcryptError| Problem::internal(error))
    }

    /// Compares a password with a stored hash. Without one (no such account) it takes the same time and returns
    /// [`Verdict::Wrong`].
    pub async fn verify(self, password: String, stored: Option<String>) -> Result<Verdict, Problem> {
        let (cost, dummy) = (self.hasher.cost, self.hasher.dummy.clone());
        self.run(move || verify(&password, stored.as_deref(), &dummy, cost)).await?.map_err(Problem::internal)
    }

    async fn run<T: Send + 'static>(self, work: impl FnOnce() -> T + Send + 'static) -> Result<T, Problem> {
        let QueueSlot { ref queue, network } = self.slot;
        let queue = queue.clone();
        let (answer, mut answered) = oneshot::channel();
        let slot = self.slot;
        let job = Box::new(move || {
            let result = work();
            drop(slot);
            let _ = answer.send(result);
        });
        // Dropped together with the request if the client disconnects.
        let queued = Queued { number: queue.push(network, job), queue: &queue };
        let ended = |_| Problem::internal("a hashing thread has ended");
        match time::timeout(MAX_WAIT, &mut answered).await {
            Ok(answer) => answer.map_err(ended),
            Err(_) if queued.withdraw() => Err(overloaded()),
            Err(_) => time::timeout(MAX_RUN, answered).await.map_err(|_| overloaded())?.map_err(ended),
        }
    }
}

fn verify(password: &str, stored: Option<&str>, dummy: &str, cost: u32) -> BcryptResult<Verdict> {
    let stored = stored.filter(|hash| *hash != UNUSABLE);
    if let Some(foreign) = stored.and_then(Foreign::of_stored) {
        return verify_foreign(password, foreign, cost);
    }
    let hash = stored.unwrap_or(dummy);
    let matches = bcrypt::verify(prehash(password), hash)?;
    Ok(match (matches && stored.is_some(), cost_of(hash) == Some(cost)) {
        (false, _) => {
            equalise_cost(cost_of(hash), cost)?;
            Verdict::Wrong
        }
        (true, true) => Verdict::Right,
        (true, false) => Verdict::RightButOutdated(Hasher::hash_now(password, cost)?),
    })
}

/// A right password gets one of our hashes. A wrong one takes at least as long as one of ours: the difference is filled
/// with rounds of bcrypt. A foreign hash that costs more than ours shows by its time until the first log-in.
fn verify_foreign(password: &str, foreign: Result<Foreign, Unusable>, cost: u32) -> BcryptResult<Verdict> {
    let begun = Instant::now();
    // One that cannot be read was changed in the database: no password is right.
    if foreign.is_ok_and(|hash| hash.matches(password)) {
        return Ok(Verdict::RightButOutdated(Hasher::hash_now(password, cost)?));
    }
    fill_up(begun.elapsed(), cost)?;
    Ok(Verdict::Wrong)
}

/// Hashes until as much time has passed as a hash of this cost takes now. `spent` counts as passed.
fn fill_up(spent: Duration, cost: u32) -> BcryptResult<()> {
    // A sixteenth of the work, measured under the load of this moment.
    let probe = cost.saturating_sub(4).max(LOWEST_COST);
    let begun = Instant::now();
    bcrypt::verify("", &dummy(probe))?;
    let took = begun.elapsed();
    let mut left = (took * (1 << (cost - probe))).saturating_sub(spent + took);
    for lower in (LOWEST_COST..cost).rev() {
        let expected =
            if lower >= probe { took * (1 << (lower - probe)) } else { took / (1 << (probe - lower)) };
        while left >= expected && !expected.is_zero() {
            let begun = Instant::now();
            bcrypt::verify("", &dummy(lower))?;
            left = left.saturating_sub(begun.elapsed());
        }
    }
    Ok(())
}

fn is_one_of(password: &str, stored: &[String], dummy: &str, cost: u32) -> BcryptResult<bool> {
    let first: HashParts = stored.first().map_or(dummy, |hash| hash).parse()?;
    let hash = bcrypt::hash_with_salt(prehash(password), first.get_cost(), first.get_salt_raw())?;
    equalise_cost(Some(first.get_cost()), cost)?;
    Ok(stored.contains(&hash.to_string()))
}

/// Does the work that a hash of an older, lower cost saves, so that the time of a refusal does not reveal accounts:
/// 2^c + 2^(c+1) + … + 2^(cost-1) rounds are the difference between 2^cost and 2^c.
fn equalise_cost(hashed_at: Option<u32>, cost: u32) -> BcryptResult<()> {
    for lower in hashed_at.unwrap_or(cost)..cost {
        bcrypt::verify("", &dummy(lower))?;
    }
    Ok(())
}

/// Estimates the time of a hash of this cost on this machine: measures the lowest cost, since each step doubles it.
fn estimate(cost: u32) -> Duration {
    let began = Instant::now();
    let _ = bcrypt::verify("", &dummy(LOWEST_COST));
    began.elapsed() * (1 << cost.saturating_sub(LOWEST_COST))
}

fn dummy(cost: u32) -> String {
    format!("$2b${cost:02}${DUMMY_SALT_AND_DIGEST}")
}

fn prehash(password: &str) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, b"mintage password v1");
    BASE64_STANDARD.encode(hmac::sign(&key, password.as_bytes()))
}

fn cost_of(hash: &str) -> Option<u32> {
    hash.split('$').nth(2)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use futures_util::FutureExt;

    use super::*;

    fn hasher(cost: u32) -> Hasher {
        Hasher::start(
            &Passwords { cost, threads: 1, queue: 8, queue_per_network: 8, breach_url: None },
            &Tasks::default(),
        )
        .expect("threads")
    }

    fn network() -> Network {
        Network::of([127, 0, 0, 1].into())
    }

    #[tokio::test]
    async fn a_foreign_hash_is_replaced_by_one_of_ours_and_a_wrong_password_takes_as_long_as_with_ours() {
        let hasher = hasher(10);
        let verify = async |password: &str, stored: &str| {
            let permit = hasher.reserve(network()).expect("a permit");
            let begun = Instant::now();
            let verdict =
                permit.verify(password.to_owned(), Some(stored.to_owned())).await.expect("a verdict");
            (verdict, begun.elapsed())
        };
        let foreign = bcrypt::hash("right", 4).expect("a hash");
        let foreign = crate::passwords::to_store(&foreign).expect("a usable hash");
        let (Verdict::RightButOutdated(ours), _) = verify("right", &foreign).await else {
            panic!("refused");
        };
        assert_eq!(verify("right", &ours).await.0, Verdict::Right);
        // The least of several: the machine may have been busy during one.
        let mut least = [Duration::MAX; 2];
        for _ in 0..5 {
            for (least, stored) in least.iter_mut().zip([&foreign, &ours]) {
                let (verdict, took) = verify("wrong", stored).await;
                assert_eq!(verdict, Verdict::Wrong);
                *least = took.min(*least);
            }
        }
        // Without the filling it would be a sixty-fourth.
        assert!(least[0] * 4 > least[1], "foreign {:?}, ours {:?}", least[0], least[1]);
        for damaged in ["foreign:", "foreign:$2b$04$x", "foreign:$2b$31$"] {
            assert_eq!(verify("right", damaged).await.0, Verdict::Wrong, "{damaged}");
        }
    }

    #[tokio::test]
    async fn bytes_beyond_the_first_72_count() {
        let hasher = hasher(4);
        let long = "é".repeat(100);
        let permit = || hasher.reserve(network()).expect("a permit");
        let hash = permit().hash(long.clone() + "1").await.expect("hash");
        let verify = |password| permit().verify(password, Some(hash.clone()));
        assert_eq!(verify(long.clone() + "1").await.expect("verdict"), Verdict::Right);
        assert_eq!(verify(long + "2").await.expect("verdict"), Verdict::Wrong);
    }

    #[tokio::test]
    async fn a_hash_of_another_cost_is_right_and_is_renewed() {
        let old = Hasher::hash_now("correct horse", 5).expect("hash");
        let hasher = hasher(4);
        let permit = || hasher.reserve(network()).expect("a permit");
        let verdict = permit().verify("correct horse".into(), Some(old)).await.expect("verdict");
        let Verdict::RightButOutdated(new) = verdict else { panic!("{verdict:?}") };
        assert_eq!(cost_of(&new), Some(4));
        let verdict = permit().verify("correct horse".into(), Some(new)).await.expect("verdict");
        assert_eq!(verdict, Verdict::Right);
    }

    #[tokio::test]
    async fn without_an_account_the_same_work_ends_in_wrong() {
        let hasher = hasher(4);
        assert!(bcrypt::verify("x", &hasher.dummy).is_ok(), "the dummy must be a hash");
        let permit = hasher.reserve(network()).expect("a permit");
        assert_eq!(permit.verify("x".into(), None).await.expect("verdict"), Verdict::Wrong);
    }

    #[tokio::test]
    async fn a_password_is_compared_with_all_pending_hashes_at_once() {
        let hasher = hasher(4);
        let permit = || hasher.reserve(network()).expect("a permit");
        let mut stored = Vec::new();
        for password in ["correct horse", "battery staple", "correct horse"] {
            stored.push(permit().hash_with_salt(password.into(), [7; 16]).await.expect("hash"));
        }
        assert!(stored[0] == stored[2] && stored[0] != stored[1]);
        let check = async |password: &str, account: Option<String>, stored: &[String]| {
            let verified = permit().verify_with_pending(password.into(), account, stored.to_vec());
            verified.await.expect("verdict")
        };
        for (password, expected) in [("correct horse", true), ("battery staple", true), ("x", false)] {
            assert_eq!(check(password, None, &stored).await, (Verdict::Wrong, expected));
        }
        assert_eq!(check("x", None, &[]).await, (Verdict::Wrong, false));
        assert_eq!(check("battery staple", Some(stored[1].clone()), &stored).await, (Verdict::Right, false));
        let verify = |stored| permit().verify("battery staple".into(), Some(stored));
        assert_eq!(verify(stored[1].clone()).await.expect("verdict"), Verdict::Right);
    }

    /// Occupies the only thread until the sender is dropped.
    fn block(hasher: &Hasher) -> mpsc::Sender<()> {
        let (release, blocked) = mpsc::channel::<()>();
        let (started, running) = mpsc::channel();
        let work = move || {
            started.send(()).expect("the test waits");
            let _ = blocked.recv();
        };
        hasher.queue.0.push(network(), Box::new(work));
        running.recv().expect("the thread is busy");
        release
    }

    #[tokio::test]
    async fn a_permit_is_free_again_after_the_hash_and_after_the_request_has_ended() {
        let hasher = hasher(4);
        let permit = || hasher.reserve(network()).expect("a permit");
        permit().hash("password".into()).await.expect("hash");
        drop(permit());
        let release = block(&hasher);
        drop(permit().hash("password".into()).now_or_never());
        assert_eq!(hasher.in_use().0, 0);
        drop(release);
        permit().hash("password".into()).await.expect("hash");
        assert_eq!(hasher.in_use().0, 0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_hash_that_is_not_begun_in_time_is_given_up_and_its_permit_is_free() {
        let hasher = hasher(4);
        let release = block(&hasher);
        let waiting = hasher.reserve(network()).expect("a permit").hash("password".into());
        assert_eq!(waiting.await.expect_err("refused").kind().code, "overloaded");
        assert_eq!(hasher.in_use().0, 0);
        drop(release);
    }

    #[test]
    fn a_wrong_password_costs_the_same_whatever_the_cost_of_the_stored_hash() {
        let rounds = |from: u32, to: u32| (from..to).map(|cost| 1u64 << cost).sum::<u64>();
        for stored in 4..=12 {
            assert_eq!((1u64 << stored) + rounds(stored, 12), 1 << 12);
        }
        let old = Hasher::hash_now("correct horse", 4).expect("hash");
        assert_eq!(verify("x", Some(&old), &dummy(6), 6).expect("verdict"), Verdict::Wrong);
        assert!(!is_one_of("x", &[old], &dummy(6), 6).expect("verdict"));
    }
}
