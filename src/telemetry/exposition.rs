//! Metrics in the text format of Prometheus (0.0.4).

use std::{
    fmt::{Display, Write},
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// The text of the metrics, built piece by piece.
#[derive(Default)]
pub struct Exposition(pub String);

impl Exposition {
    /// Begins a metric of the type `counter`, `gauge` or `histogram`.
    pub fn family(&mut self, name: &str, kind: &str, help: &str) {
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    /// Adds a sample of the metric that was begun.
    pub fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: impl Display) {
        self.0.push_str(name);
        for (number, (label, value)) in labels.iter().enumerate() {
            let before = if number == 0 { '{' } else { ',' };
            let value = value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
            let _ = write!(self.0, "{before}{label}=\"{value}\"");
        }
        let after = if labels.is_empty() { "" } else { "}" };
        let _ = writeln!(self.0, "{after} {value}");
    }

    /// Adds a metric with one sample and no labels.
    pub fn single(&mut self, name: &str, kind: &str, help: &str, value: impl Display) {
        self.family(name, kind, help);
        self.sample(name, &[], value);
    }
}

/// Upper bounds in seconds; the last bucket has none.
const BOUNDS: [f64; 12] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0];

/// A histogram of durations; counting is two additions.
#[derive(Default)]
pub struct Histogram {
    buckets: [AtomicU64; BOUNDS.len() + 1],
    micros: AtomicU64,
}

impl Histogram {
    pub fn count(&self, took: Duration) {
        let seconds = took.as_secs_f64();
        let bucket = BOUNDS.iter().position(|bound| seconds <= *bound).unwrap_or(BOUNDS.len());
        self.buckets[bucket].fetch_add(1, Ordering::Relaxed);
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        self.micros.fetch_add(micros, Ordering::Relaxed);
    }

    /// Adds the samples, or none if nothing was counted.
    pub fn write(&self, text: &mut Exposition, name: &str, labels: &[(&str, &str)]) {
        let counts: Vec<u64> = self.buckets.iter().map(|bucket| bucket.load(Ordering::Relaxed)).collect();
        let total: u64 = counts.iter().sum();
        if total == 0 {
            return;
        }
        let mut so_far = 0;
        let bounds = BOUNDS.iter().map(f64::to_string).chain(["+Inf".to_owned()]);
        for (bound, count) in bounds.zip(counts) {
            so_far += count;
            let labels: Vec<_> = labels.iter().copied().chain([("le", bound.as_str())]).collect();
            text.sample(&format!("{name}_bucket"), &labels, so_far);
        }
        let micros = self.micros.load(Ordering::Relaxed);
        text.sample(&format!("{name}_sum"), labels, Duration::from_micros(micros).as_secs_f64());
        text.sample(&format!("{name}_count"), labels, total);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_are_cumulative_and_labels_escaped() {
        let histogram = Histogram::default();
        for millis in [1, 2, 30, 9000] {
            histogram.count(Duration::from_millis(millis));
        }
        let mut text = Exposition::default();
        histogram.write(&mut text, "x", &[("a", "q\"\\\n")]);
        for line in [
            r#"x_bucket{a="q\"\\\n",le="0.001"} 1"#,
            r#"x_bucket{a="q\"\\\n",le="0.0025"} 2"#,
            r#"x_bucket{a="q\"\\\n",le="5"} 3"#,
            r#"x_bucket{a="q\"\\\n",le="+Inf"} 4"#,
            r#"x_sum{a="q\"\\\n"} 9.033"#,
            r#"x_count{a="q\"\\\n"} 4"#,
        ] {
            assert!(text.0.lines().any(|found| found == line), "{line} is not in {}", text.0);
        }
    }
}
