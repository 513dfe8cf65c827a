//! Bounded hashing. A hash costs hundreds of milliseconds of CPU, so a log-in storm must
//! neither occupy the threads that answer other requests nor queue without end.

use std::{
    panic::{self, AssertUnwindSafe},
    sync::{Arc, Mutex, PoisonError, mpsc},
    thread,
};

use aws_lc_rs::hmac;
use base64::{Engine, prelude::BASE64_STANDARD};
use tokio::sync::oneshot;

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
    queue: mpsc::SyncSender<Job>,
    dummy: Arc<str>,
}

/// What a verification found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Wrong,
    Right,
    /// Right, but hashed at another cost than the configured one.
    RightButOutdated,
}

impl Hasher {
    /// Starts the threads; they end when the last clone is dropped.
    ///
    /// # Errors
    /// The operating system gives no thread.
    pub fn start(settings: &Passwords) -> std::io::Result<Self> {
        let (queue, jobs) = mpsc::sync_channel::<Job>(settings.queue);
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
        Ok(Self { cost, queue, dummy: format!("$2b${cost:02}${DUMMY_SALT_AND_DIGEST}").into() })
    }

    /// Hashes on this thread, for the command line.
    ///
    /// # Errors
    /// The cost is out of bcrypt's range.
    pub fn hash_now(password: &str, cost: u32) -> bcrypt::BcryptResult<String> {
        bcrypt::hash(prehash(password), cost)
    }

    /// # Errors
    /// `overloaded` when the queue is full.
    pub async fn hash(&self, password: String) -> Result<String, Problem> {
        let cost = self.cost;
        self.submit(move || Self::hash_now(&password, cost)).await?.map_err(Problem::internal)
    }

    /// Without a stored hash (no such account) it takes as long and says [`Verdict::Wrong`].
    ///
    /// # Errors
    /// `overloaded` when the queue is full.
    pub async fn verify(&self, password: String, stored: Option<String>) -> Result<Verdict, Problem> {
        let (cost, dummy) = (self.cost, self.dummy.clone());
        self.submit(move || {
            let hash = stored.as_deref().unwrap_or(&dummy);
            let matches = bcrypt::verify(prehash(&password), hash).map_err(Problem::internal)?;
            Ok(match (matches && stored.is_some(), cost_of(hash) == Some(cost)) {
                (false, _) => Verdict::Wrong,
                (true, true) => Verdict::Right,
                (true, false) => Verdict::RightButOutdated,
            })
        })
        .await?
    }

    async fn submit<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Problem> {
        let (answer, answered) = oneshot::channel();
        let job = Box::new(move || {
            // Nobody waits any more when the client has gone.
            if !answer.is_closed() {
                let _ = answer.send(work());
            }
        });
        self.queue.try_send(job).map_err(|_| Problem::new(&kind::OVERLOADED).retry_after(5))?;
        answered.await.map_err(|_| Problem::internal("a hashing thread is gone"))
    }
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
        let hash = hasher.hash(long.clone() + "1").await.expect("hash");
        let verify = |password| hasher.verify(password, Some(hash.clone()));
        assert_eq!(verify(long.clone() + "1").await.expect("verdict"), Verdict::Right);
        assert_eq!(verify(long + "2").await.expect("verdict"), Verdict::Wrong);
    }

    #[tokio::test]
    async fn a_hash_of_another_cost_is_right_but_outdated() {
        let hash = hasher(5, 8).hash("correct horse".into()).await.expect("hash");
        let verdict = hasher(4, 8).verify("correct horse".into(), Some(hash)).await;
        assert_eq!(verdict.expect("verdict"), Verdict::RightButOutdated);
    }

    #[tokio::test]
    async fn without_an_account_the_same_work_says_wrong() {
        let hasher = hasher(4, 8);
        assert!(bcrypt::verify("x", &hasher.dummy).is_ok(), "the dummy must be a hash");
        assert_eq!(hasher.verify("x".into(), None).await.expect("verdict"), Verdict::Wrong);
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
        hasher.queue.send(Box::new(|| {})).expect("the queue takes one");
        let refused = hasher.hash("password".into()).await.expect_err("refused");
        assert_eq!(refused.kind().code, "overloaded");
        drop(release);
    }
}
