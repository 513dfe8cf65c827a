//! The kinds of jobs that a server runs, and their schedules.

use std::{collections::HashMap, pin::Pin, sync::Arc, time::Duration};

use anyhow::anyhow;
use serde_json::Value;

use super::{Failure, Job, Running, schedule::Schedule};

type Run = Pin<Box<dyn Future<Output = Result<(), Failure>> + Send>>;
type Runner = Arc<dyn Fn(Value, Running) -> Run + Send + Sync>;

/// The kinds of jobs that this server runs, and the schedules. Other kinds in the table are left to replicas that know
/// them.
#[derive(Clone, Default)]
pub struct Registry {
    runners: HashMap<&'static str, Runner>,
    pub(super) schedules: Vec<Schedule>,
}

impl Registry {
    /// Adds a kind of job.
    pub fn register<J: Job>(mut self, context: J::Context) -> Self {
        let runner = move |payload, running| -> Run {
            let context = context.clone();
            Box::pin(async move {
                // The text of serde may quote the payload. Retried, since a newer replica may be able to read it.
                let job: J = serde_json::from_value(payload)
                    .map_err(|_| Failure::Retry(anyhow!("the payload cannot be read")))?;
                job.run(running, &context).await
            })
        };
        let before = self.runners.insert(J::KIND, Arc::new(runner));
        assert!(before.is_none(), "{} is registered twice", J::KIND);
        self
    }

    /// Enqueues this job once in every interval (counted from 1970), for all replicas together. Intervals in which no
    /// server ran are skipped.
    pub fn every<J: Job>(mut self, interval: Duration, name: &'static str, job: &J) -> Self {
        let payload = serde_json::to_value(job).expect("a job serialises");
        self.schedules.push(Schedule::new(name, interval, J::KIND, payload));
        self
    }

    pub(super) fn kinds(&self) -> Vec<&'static str> {
        self.runners.keys().copied().collect()
    }

    pub(super) fn run(&self, kind: &str, payload: Value, running: Running) -> Run {
        self.runners[kind](payload, running)
    }
}
