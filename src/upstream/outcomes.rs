//! How the calls of each service went, for the metrics of this process.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use crate::telemetry::{Exposition, Histogram};

#[derive(Default)]
struct Outcome {
    successes: u64,
    failures: u64,
    durations: Histogram,
}

/// By the names of services, which the settings bound.
#[derive(Default)]
pub struct Outcomes(Mutex<BTreeMap<String, Outcome>>);

impl Outcomes {
    pub fn count(&self, service: &str, success: bool, took: Duration) {
        let mut outcomes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let outcome = outcomes.entry(service.to_owned()).or_default();
        if success {
            outcome.successes += 1;
        } else {
            outcome.failures += 1;
        }
        outcome.durations.count(took);
    }

    pub fn write(&self, text: &mut Exposition) {
        let outcomes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let name = "mintage_sync_total";
        let help = "Times a service was asked, with its retries, by outcome: a provider once a slot, who is \
                    listened to once a coin or connection.";
        text.family(name, "counter", help);
        for (service, outcome) in &*outcomes {
            for (word, count) in [("success", outcome.successes), ("failure", outcome.failures)] {
                text.sample(name, &[("service", service), ("outcome", word)], count);
            }
        }
        let name = "mintage_sync_duration_seconds";
        text.family(name, "histogram", "How long that took.");
        for (service, outcome) in &*outcomes {
            outcome.durations.write(text, name, &[("service", service)]);
        }
    }
}
