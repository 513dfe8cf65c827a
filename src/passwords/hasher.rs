//! Bounded hashing. A hash costs hundreds of milliseconds of CPU, so a log-in storm must
//! neither occupy the threads that answer other requests nor queue without end.

use std::{
    panic::{self, AssertUnwindSafe},
    sync::{Arc, Mutex, PoisonError, mpsc},
    thread,
};

use aws_lc_rs::hmac;
use base64::{Engine, prelude::BASE64_STANDARD};
use bcrypt::{BcryptError, BcryptResult, HashParts};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use crate::{
    config::Passwords,
    http::{Problem, kind},
};

/// Any salt and digest in bcrypt's alphabet: verifying against it costs what a real hash costs.
const DUMMY_SALT_AND_DIGEST: &str = "abcdefghijklmnopqrstuuABCDEFGHIJKLMNOPQRSTUVWXYZabcde";

type Job = Box<dyn FnOnce() + Send>;

/// Hands passwords to the hashing threads; cheap to clone.
#[derive(Clone)]
pub struct Hasher {
    cost: u32,
    queue: mpsc::Sender<Job>,
    places: Arc<Semaphore>,
    size: usize,
    dummy: Arc<str>,
}

/// A place in the queue, for one password. Taken first of all, so that whoever gets none is
/// refused at once and costs nothing.
pub struct Place<'a> {
    hasher: &'a Hasher,
    permit: OwnedSemaphorePermit,
}

/// What a verification found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    Wrong,
    Right,
    /// Right, but hashed at another cost than the configured one: here is the hash at that one.
    RightButOutdated(String),
}

impl Hasher {
    /// Starts the threads; they end when the last clone is dropped.
    ///
    /// # Errors
    /// The operating system gives no thread.
    pub fn start(settings: &Passwords) -> std::io::Result<Self> {
        let (queue, jobs) = mpsc::channel::<Job>();
        let jobs = Arc::new(Mutex::new(jobs));
        for number in 0..settings.threads {
            let jobs = jobs.clone();
            thread::Builder::new().name(format!("hash-{number}")).spawn(move || {
                loop {
                    let next = jobs.lock().unwrap_or_else(PoisonError::into_inner).recv();
                    let Ok(job) = next else { return };
                    // Whoever waits is told by the dropped channel; the thread goes on.
                    let _ = panic::catch_unwind(AssertUnwindSafe(job));
                }
            })?;
        }
        let cost = settings.cost;
        let size = settings.queue;
        let places = Arc::new(Semaphore::new(size));
        Ok(Self { cost, queue, places, size, dummy: format!("$2b${cost:02}${DUMMY_SALT_AND_DIGEST}").into() })
    }

    /// Hashes that run or wait, and how many may.
    #[must_use]
    pub fn in_use(&self) -> (usize, usize) {
        (self.size - self.places.available_permits().min(self.size), self.size)
    }

    /// Hashes on this thread, for the command line.
    ///
    /// # Errors
    /// The cost is out of bcrypt's range.
    pub fn hash_now(password: &str, cost: u32) -> BcryptResult<String> {
        bcrypt::hash(prehash(password), cost)
    }

    /// # Errors
    /// `overloaded` when the queue is full.
    pub fn reserve(&self) -> Result<Place<'_>, Problem> {
        let permit = self.places.clone().try_acquire_owned();
        let permit = permit.map_err(|_| Problem::new(&kind::OVERLOADED).retry_after(5))?;
        Ok(Place { hasher: self, permit })
    }
}

impl Place<'_> {
    /// # Errors
    /// A hashing thread panicked.
    pub async fn hash(self, password: String) -> Result<String, Problem> {
        let cost = self.hasher.cost;
        self.run(move || Hasher::hash_now(&password, cost)).await?.map_err(Problem::internal)
    }

    /// With a salt of the caller's, so that equal passwords have equal hashes under it.
    ///
    /// # Errors
    /// A hashing thread panicked.
    pub async fn hash_with_salt(self, password: String, salt: [u8; 16]) -> Result<String, Problem> {
        let cost = self.hasher.cost;
        let hash = move || bcrypt::hash_with_salt(prehash(&password), cost, salt);
        Ok(self.run(hash).await?.map_err(Problem::internal)?.to_string())
    }

    /// As [`Place::verify`]; if that says [`Verdict::Wrong`], also whether the password is that of one of
    /// those who wait, whose hashes share a salt. That takes as long if there are none, or many; those
    /// with another salt than the first are not looked at.
    ///
    /// # Errors
    /// As [`Place::verify`].
    pub async fn verify_or_waits(
        self,
        password: String,
        stored: Option<String>,
        waiting: Vec<String>,
    ) -> Result<(Verdict, bool), Problem> {
        let (cost, dummy) = (self.hasher.cost, self.hasher.dummy.clone());
        self.run(move || {
            let verdict = verify(&password, stored.as_deref(), &dummy, cost)?;
            let waits = verdict == Verdict::Wrong && is_one_of(&password, &waiting, &dummy)?;
            Ok((verdict, waits))
        })
        .await?
        .map_err(|error: BcryptError| Problem::internal(error))
    }

    /// Without a stored hash (no such account) it takes as long and says [`Verdict::Wrong`].
    ///
    /// # Errors
    /// A hashing thread panicked, or what is stored is no hash.
    pub async fn verify(self, password: String, stored: Option<String>) -> Result<Verdict, Problem> {
        let (cost, dummy) = (self.hasher.cost, self.hasher.dummy.clone());
        self.run(move || verify(&password, stored.as_deref(), &dummy, cost)).await?.map_err(Problem::internal)
    }

    async fn run<T: Send + 'static>(self, work: impl FnOnce() -> T + Send + 'static) -> Result<T, Problem> {
        let Self { hasher, permit } = self;
        let (answer, answered) = oneshot::channel();
        let job = Box::new(move || {
            drop(permit);
            // Nobody waits any more when the client has gone.
            if !answer.is_closed() {
                let _ = answer.send(work());
            }
        });
        let gone = || Problem::internal("a hashing thread is gone");
        hasher.queue.send(job).map_err(|_| gone())?;
        answered.await.map_err(|_| gone())
    }
}

fn verify(password: &str, stored: Option<&str>, dummy: &str, cost: u32) -> BcryptResult<Verdict> {
    let hash = stored.unwrap_or(dummy);
    let matches = bcrypt::verify(prehash(password), hash)?;
    Ok(match (matches && stored.is_some(), cost_of(hash) == Some(cost)) {
        (false, _) => Verdict::Wrong,
        (true, true) => Verdict::Right,
        (true, false) => Verdict::RightButOutdated(Hasher::hash_now(password, cost)?),
    })
}

fn is_one_of(password: &str, stored: &[String], dummy: &str) -> BcryptResult<bool> {
    let first: HashParts = stored.first().map_or(dummy, |hash| hash).parse()?;
    let hash = bcrypt::hash_with_salt(prehash(password), first.get_cost(), first.get_salt_raw())?;
    Ok(stored.contains(&hash.to_string()))
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
    use super::*;

    fn hasher(cost: u32, queue: usize) -> Hasher {
        Hasher::start(&Passwords { cost, threads: 1, queue }).expect("threads")
    }

    #[tokio::test]
    async fn what_is_past_72_bytes_counts() {
        let hasher = hasher(4, 8);
        let long = "é".repeat(100);
        let place = || hasher.reserve().expect("a place");
        let hash = place().hash(long.clone() + "1").await.expect("hash");
        let verify = |password| place().verify(password, Some(hash.clone()));
        assert_eq!(verify(long.clone() + "1").await.expect("verdict"), Verdict::Right);
        assert_eq!(verify(long + "2").await.expect("verdict"), Verdict::Wrong);
    }

    #[tokio::test]
    async fn a_hash_of_another_cost_is_right_and_made_anew() {
        let old = Hasher::hash_now("correct horse", 5).expect("hash");
        let hasher = hasher(4, 8);
        let place = || hasher.reserve().expect("a place");
        let verdict = place().verify("correct horse".into(), Some(old)).await.expect("verdict");
        let Verdict::RightButOutdated(new) = verdict else { panic!("{verdict:?}") };
        assert_eq!(cost_of(&new), Some(4));
        let verdict = place().verify("correct horse".into(), Some(new)).await.expect("verdict");
        assert_eq!(verdict, Verdict::Right);
    }

    #[tokio::test]
    async fn without_an_account_the_same_work_says_wrong() {
        let hasher = hasher(4, 8);
        assert!(bcrypt::verify("x", &hasher.dummy).is_ok(), "the dummy must be a hash");
        let place = hasher.reserve().expect("a place");
        assert_eq!(place.verify("x".into(), None).await.expect("verdict"), Verdict::Wrong);
    }

    #[tokio::test]
    async fn of_many_hashes_with_one_salt_any_may_be_the_passwords() {
        let hasher = hasher(4, 8);
        let place = || hasher.reserve().expect("a place");
        let mut stored = Vec::new();
        for password in ["correct horse", "battery staple", "correct horse"] {
            stored.push(place().hash_with_salt(password.into(), [7; 16]).await.expect("hash"));
        }
        assert!(stored[0] == stored[2] && stored[0] != stored[1]);
        let waits = async |password: &str, account: Option<String>, stored: &[String]| {
            let verified = place().verify_or_waits(password.into(), account, stored.to_vec());
            verified.await.expect("verdict")
        };
        for (password, expected) in [("correct horse", true), ("battery staple", true), ("x", false)] {
            assert_eq!(waits(password, None, &stored).await, (Verdict::Wrong, expected));
        }
        assert_eq!(waits("x", None, &[]).await, (Verdict::Wrong, false));
        assert_eq!(waits("battery staple", Some(stored[1].clone()), &stored).await, (Verdict::Right, false));
        let verify = |stored| place().verify("battery staple".into(), Some(stored));
        assert_eq!(verify(stored[1].clone()).await.expect("verdict"), Verdict::Right);
    }

    #[tokio::test]
    async fn a_full_queue_refuses_at_once() {
        let hasher = hasher(4, 1);
        let (release, blocked) = mpsc::channel::<()>();
        let (started, running) = mpsc::channel();
        let job: Job = Box::new(move || {
            started.send(()).expect("the test waits");
            let _ = blocked.recv();
        });
        hasher.queue.send(job).expect("queue");
        running.recv().expect("the thread is busy");
        let waiting = hasher.reserve().expect("the queue takes one").hash("password".into());
        assert_eq!(hasher.reserve().err().expect("refused").kind().code, "overloaded");
        drop(release);
        waiting.await.expect("hash");
        assert!(hasher.reserve().is_ok(), "the place is free again");
    }
}
