//! Refreshes that arrive while others are in the database wait for each other and then go there
//! together: one round trip and one commit for all of them. On its own, a refresh goes at once.
//! Tokens that are not the newest of their session are given back: deciding about those takes longer.

use std::{
    collections::VecDeque,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tokio::{
    sync::{Notify, oneshot},
    task, time,
};

use super::sessions::{self, Exchange, Lifetimes, Presented};
use crate::{
    db::{Db, DbError},
    http::{Problem, kind},
};

/// Far within the statement timeout.
const MOST_TOGETHER: usize = 64;
const MOST_WAITING: usize = 1024;
/// Somewhat longer than the database hop of the group before and of one's own.
const LONGEST_WAIT: Duration = Duration::from_secs(6);

struct Waiting {
    presented: Presented,
    times: Lifetimes,
    answer: oneshot::Sender<Result<Exchange, Problem>>,
}

/// The queue of presented refresh tokens.
#[derive(Default)]
pub struct Exchanges {
    waiting: Mutex<VecDeque<Waiting>>,
    arrived: Notify,
}

impl Exchanges {
    /// See [`sessions::exchange`].
    ///
    /// # Errors
    /// `overloaded` when the queue is full; the database's.
    pub async fn exchange(&self, presented: Presented, times: Lifetimes) -> Result<Exchange, Problem> {
        let (answer, answered) = oneshot::channel();
        {
            let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
            if waiting.len() >= MOST_WAITING {
                return Err(Problem::new(&kind::OVERLOADED).retry_after(1));
            }
            waiting.push_back(Waiting { presented, times, answer });
        }
        self.arrived.notify_one();
        match time::timeout(LONGEST_WAIT, answered).await {
            Ok(Ok(result)) => result,
            Ok(Err(_)) => Err(Problem::internal("a group of refreshes was dropped")),
            Err(_) => Err(DbError::Busy("refreshes pile up").into()),
        }
    }

    /// Serves one group after the other until the task is aborted; several may run.
    pub async fn run(&self, db: &Db) {
        loop {
            let group = self.next_group().await;
            // The latest, so that nothing is given less time than its token says.
            let Some(times) = group.iter().map(|one| one.times.clone()).max_by_key(|times| times.now) else {
                continue;
            };
            let (presented, answers): (Vec<_>, Vec<_>) =
                group.into_iter().map(|one| (one.presented, one.answer)).unzip();
            let db = db.clone();
            let hop = async move {
                db.run(move |conn| Ok::<_, Problem>(sessions::exchange(conn, presented, &times)?)).await
            };
            // A task of its own, so that a panic ends only this group.
            match task::spawn(hop).await.unwrap_or_else(|panic| Err(Problem::internal(panic))) {
                Ok(exchanged) => {
                    for (answer, exchange) in answers.into_iter().zip(exchanged) {
                        let _ = answer.send(Ok(exchange));
                    }
                }
                Err(problem) => {
                    for answer in answers {
                        let _ = answer.send(Err(problem.clone()));
                    }
                }
            }
        }
    }

    async fn next_group(&self) -> Vec<Waiting> {
        self.arrived.notified().await;
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let count = waiting.len().min(MOST_TOGETHER);
        let group = waiting.drain(..count).filter(|one| !one.answer.is_closed()).collect();
        if !waiting.is_empty() {
            self.arrived.notify_one();
        }
        group
    }
}
