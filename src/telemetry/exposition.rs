//! Metrics as Prometheus reads them: OpenMetrics 1.0, or the older text format 0.0.4.
//!
//! Each room counts in atomics of its own, and adds what it has counted when the metrics are read. `prometheus-client`
//! writes the text.

use std::{
    collections::HashSet,
    fmt,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

pub use prometheus_client::metrics::MetricType;
use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, MetricEncoder, NoLabelSet, text::encode},
    registry::Registry,
};

pub const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
pub const CLASSIC: &str = "text/plain; version=0.0.4; charset=utf-8";

/// What the names of counters end with. OpenMetrics leaves it out in the lines that describe them.
const OF_COUNTERS: &str = "_total";

/// All metrics at one moment.
#[derive(Debug, Default)]
pub struct Exposition(Vec<Family>);

/// A metric with its samples.
#[derive(Debug)]
pub struct Family {
    name: &'static str,
    kind: MetricType,
    help: &'static str,
    samples: Vec<(Labels, Value)>,
}

type Labels = Vec<(&'static str, String)>;

#[derive(Debug)]
enum Value {
    Number(Number),
    Histogram {
        /// In seconds.
        sum: f64,
        count: u64,
        /// Upper bounds, each with the count of its bucket alone.
        buckets: Vec<(f64, u64)>,
    },
}

/// The value of a counter or gauge.
#[derive(Clone, Copy, Debug)]
pub enum Number {
    Whole(i64),
    Real(f64),
}

impl From<f64> for Number {
    fn from(value: f64) -> Self {
        Self::Real(value)
    }
}

macro_rules! whole_numbers {
    ($($kind:ty),*) => {
        $(impl From<$kind> for Number {
            fn from(value: $kind) -> Self {
                Self::Whole(i64::try_from(value).unwrap_or(i64::MAX))
            }
        })*
    };
}
whole_numbers!(u8, i32, u32, i64, u64, usize);

impl Exposition {
    /// Begins a metric. The name of a counter ends with `_total`.
    pub fn family(&mut self, name: &'static str, kind: MetricType, help: &'static str) -> &mut Family {
        self.0.push(Family { name, kind, help, samples: Vec::new() });
        self.0.last_mut().expect("just added")
    }

    /// Adds a counter without labels.
    pub fn counter(&mut self, name: &'static str, help: &'static str, value: impl Into<Number>) {
        self.family(name, MetricType::Counter, help).sample(&[], value);
    }

    /// Adds a gauge without labels.
    pub fn gauge(&mut self, name: &'static str, help: &'static str, value: impl Into<Number>) {
        self.family(name, MetricType::Gauge, help).sample(&[], value);
    }

    /// Writes OpenMetrics 1.0.
    pub fn open_metrics(self) -> String {
        let mut registry = Registry::default();
        registry.register_collector(Box::new(self));
        let mut text = String::new();
        encode(&mut text, &registry).expect("writing into memory does not fail");
        text
    }

    /// Writes the text format 0.0.4. It differs in the lines that describe counters, and has no end mark.
    pub fn classic(self) -> String {
        let counters = self.0.iter().filter(|family| matches!(family.kind, MetricType::Counter));
        let counters: HashSet<_> = counters.map(Family::described_name).collect();
        let mut text = String::new();
        for line in self.open_metrics().lines().filter(|line| *line != "# EOF") {
            let described = line.strip_prefix("# ").and_then(|rest| {
                let (keyword, rest) = rest.split_once(' ')?;
                let (name, rest) = rest.split_once(' ')?;
                counters.contains(name).then_some((keyword, name, rest))
            });
            match described {
                Some((keyword, name, rest)) => {
                    text.extend(["# ", keyword, " ", name, OF_COUNTERS, " ", rest, "\n"]);
                }
                None => text.extend([line, "\n"]),
            }
        }
        text
    }
}

impl Family {
    /// Adds a sample of a counter or gauge.
    pub fn sample(&mut self, labels: &[(&'static str, &str)], value: impl Into<Number>) {
        self.add(labels, Value::Number(value.into()));
    }

    /// Adds the samples of a histogram, or none if nothing was counted.
    pub fn histogram(&mut self, labels: &[(&'static str, &str)], histogram: &Histogram) {
        let counts = histogram.buckets.iter().map(|bucket| bucket.load(Ordering::Relaxed));
        let buckets: Vec<_> = BOUNDS.into_iter().chain([f64::INFINITY]).zip(counts).collect();
        let count = buckets.iter().map(|(_, count)| count).sum();
        if count > 0 {
            let sum = Duration::from_micros(histogram.micros.load(Ordering::Relaxed)).as_secs_f64();
            self.add(labels, Value::Histogram { sum, count, buckets });
        }
    }

    fn add(&mut self, labels: &[(&'static str, &str)], value: Value) {
        let labels = labels.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
        self.samples.push((labels, value));
    }

    /// The name in the lines that describe it in OpenMetrics.
    fn described_name(&self) -> &'static str {
        match self.kind {
            MetricType::Counter => self.name.strip_suffix(OF_COUNTERS).unwrap_or(self.name),
            _ => self.name,
        }
    }
}

impl Collector for Exposition {
    fn encode(&self, mut encoder: DescriptorEncoder) -> fmt::Result {
        for family in self.0.iter().filter(|family| !family.samples.is_empty()) {
            let name = family.described_name();
            let mut metric = encoder.encode_descriptor(name, family.help, None, family.kind)?;
            for (labels, value) in &family.samples {
                if labels.is_empty() {
                    value.encode(family.kind, &mut metric)?;
                } else {
                    value.encode(family.kind, &mut metric.encode_family(labels)?)?;
                }
            }
        }
        Ok(())
    }
}

impl Value {
    fn encode(&self, kind: MetricType, metric: &mut MetricEncoder) -> fmt::Result {
        let no_exemplar = None::<&prometheus_client::metrics::exemplar::Exemplar<NoLabelSet, f64>>;
        match (self, kind) {
            (Self::Histogram { sum, count, buckets }, _) => {
                metric.encode_histogram::<NoLabelSet>(*sum, *count, buckets, None)
            }
            (Self::Number(Number::Whole(number)), MetricType::Counter) => {
                metric.encode_counter(&number.unsigned_abs(), no_exemplar)
            }
            (Self::Number(Number::Real(number)), MetricType::Counter) => {
                metric.encode_counter(number, no_exemplar)
            }
            (Self::Number(Number::Whole(number)), _) => metric.encode_gauge(number),
            (Self::Number(Number::Real(number)), _) => metric.encode_gauge(number),
        }
    }
}

/// Upper bounds in seconds; the last bucket has none.
const BOUNDS: [f64; 12] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0];

/// A histogram of durations. Counting is two additions; the histogram of `prometheus-client` takes a lock.
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
}

#[cfg(test)]
mod tests {
    use super::*;

    fn example() -> Exposition {
        let histogram = Histogram::default();
        for millis in [1, 2, 30, 9000] {
            histogram.count(Duration::from_millis(millis));
        }
        let mut metrics = Exposition::default();
        metrics.counter("calls_total", "Calls.", 7u64);
        metrics.gauge("age_seconds", "Age.", 0.5);
        metrics.family("empty", MetricType::Gauge, "Has no samples.");
        metrics.family("x", MetricType::Histogram, "Durations.").histogram(&[("a", "q\"\\\n")], &histogram);
        metrics
    }

    #[test]
    fn buckets_are_cumulative_and_labels_escaped() {
        for text in [example().classic(), example().open_metrics()] {
            for line in [
                r#"x_bucket{le="0.001",a="q\"\\\n"} 1"#,
                r#"x_bucket{le="0.0025",a="q\"\\\n"} 2"#,
                r#"x_bucket{le="5.0",a="q\"\\\n"} 3"#,
                r#"x_bucket{le="+Inf",a="q\"\\\n"} 4"#,
                r#"x_sum{a="q\"\\\n"} 9.033"#,
                r#"x_count{a="q\"\\\n"} 4"#,
            ] {
                assert!(text.lines().any(|found| found == line), "{line} is not in {text}");
            }
        }
    }

    #[test]
    fn the_two_formats_describe_counters_differently_and_have_the_same_samples() {
        let (open, classic) = (example().open_metrics(), example().classic());
        assert!(open.starts_with("# HELP calls Calls.\n# TYPE calls counter\ncalls_total 7\n"), "{open}");
        assert!(open.ends_with("\n# EOF\n"));
        let begin = "# HELP calls_total Calls.\n# TYPE calls_total counter\ncalls_total 7\n";
        assert!(classic.starts_with(begin) && !classic.contains("EOF"), "{classic}");
        assert!(classic.contains("# TYPE age_seconds gauge\nage_seconds 0.5\n"), "{classic}");
        let samples = |text: &str| text.lines().filter(|line| !line.starts_with('#')).count();
        assert_eq!(samples(&open), samples(&classic));
        assert!(!open.contains("empty"));
    }
}
