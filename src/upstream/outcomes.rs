//! Counts the calls of each service by outcome, for the metrics of this process.

use std::{collections::BTreeMap, time::Duration};

use parking_lot::Mutex;

use crate::telemetry::{Exposition, Histogram, MetricType};

#[derive(Default)]
struct Outcome {
    successes: u64,
    failures: u64,
    durations: Histogram,
}

/// By the names of services, whose number the settings bound.
#[derive(Default)]
pub struct Outcomes(Mutex<BTreeMap<String, Outcome>>);

impl Outcomes {
    pub fn count(&self, service: &str, success: bool, took: Duration) {
        let mut outcomes = self.0.lock();
        let outcome = outcomes.entry(service.to_owned()).or_default();
        if success {
            outcome.successes += 1;
        } else {
            outcome.failures += 1;
        }
        outcome.durations.count(took);
    }

    pub fn write(&self, metrics: &mut Exposition) {
        let outcomes = self.0.lock();
        let name = "mintage_sync_total";
        let help = "Calls of a service by outcome, retries included in their call: a market data provider is \
                    called once per slot, a social source once per coin or connection.";
        let calls = metrics.family(name, MetricType::Counter, help);
        for (service, outcome) in &*outcomes {
            for (word, count) in [("success", outcome.successes), ("failure", outcome.failures)] {
                calls.sample(&[("service", service), ("outcome", word)], count);
            }
        }
        let name = "mintage_sync_duration_seconds";
        let durations = metrics.family(name, MetricType::Histogram, "Duration of these calls.");
        for (service, outcome) in &*outcomes {
            durations.histogram(&[("service", service)], &outcome.durations);
        }
    }
}
