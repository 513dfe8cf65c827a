//! Limits repeated log lines to one per second.
//!
//! Otherwise an outage would log a line for every request. Lines are equal if they come from the same place in the code
//! and have the same fields except for the request id: a line about another user, or with another cause, is never left
//! out. The next one that is written has the number of those left out.

use std::{
    collections::HashMap,
    fmt::{self, Debug, Write},
    hash::{BuildHasher, Hash, Hasher, RandomState},
    mem,
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use tracing::{
    Event, Level, Subscriber,
    field::{Field, Visit},
};
use tracing_subscriber::{
    fmt::{FmtContext, FormatEvent, FormatFields, format::Writer},
    registry::LookupSpan,
};

const PERIOD: Duration = Duration::from_secs(1);
/// Different lines that are remembered; further ones within a second are all written.
const MAX_LINES: usize = 256;

/// Formats events, but the same warning or error at most once a second.
pub(super) struct Repeats<F> {
    inner: F,
    keys: RandomState,
    seen: Mutex<Seen>,
}

impl<F> Repeats<F> {
    pub fn new(inner: F) -> Self {
        Self { inner, keys: RandomState::new(), seen: Mutex::default() }
    }

    /// Returns how many equal lines were left out before this one, or None to leave it out as well.
    fn judge(&self, event: &Event<'_>) -> Option<u64> {
        if *event.metadata().level() > Level::WARN {
            return Some(0);
        }
        let mut hash = Fields(self.keys.build_hasher());
        event.metadata().callsite().hash(&mut hash.0);
        event.record(&mut hash);
        self.seen.lock().judge(hash.0.finish(), Instant::now())
    }
}

impl<S, N, F> FormatEvent<S, N> for Repeats<F>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
    F: FormatEvent<S, N>,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        match self.judge(event) {
            None => Ok(()),
            Some(0) => self.inner.format_event(context, writer, event),
            Some(left_out) => {
                let mut line = String::new();
                self.inner.format_event(context, Writer::new(&mut line), event)?;
                let line = line.trim_end();
                match line.strip_suffix('}').filter(|_| line.starts_with('{')) {
                    Some(object) => writeln!(writer, "{object},\"left_out\":{left_out}}}"),
                    None => writeln!(writer, "{line} left_out={left_out}"),
                }
            }
        }
    }
}

#[derive(Default)]
struct Seen(HashMap<u64, Line>);

struct Line {
    written_at: Instant,
    left_out: u64,
}

impl Seen {
    fn judge(&mut self, line: u64, now: Instant) -> Option<u64> {
        let is_recent = |line: &Line| now.saturating_duration_since(line.written_at) < PERIOD;
        if let Some(seen) = self.0.get_mut(&line) {
            if is_recent(seen) {
                seen.left_out += 1;
                return None;
            }
            seen.written_at = now;
            return Some(mem::take(&mut seen.left_out));
        }
        if self.0.len() >= MAX_LINES {
            self.0.retain(|_, line| is_recent(line));
        }
        if self.0.len() < MAX_LINES {
            self.0.insert(line, Line { written_at: now, left_out: 0 });
        }
        Some(0)
    }
}

/// Hashes all fields except for the request id. `request_id_from` is included, so that no client can hide the lines of
/// others by choosing ids.
struct Fields<H>(H);

impl<H: Hasher> Visit for Fields<H> {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        if field.name() != "request_id" {
            self.0.write(field.name().as_bytes());
            let _ = write!(self, "={value:?};");
        }
    }
}

impl<H: Hasher> Write for Fields<H> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0.write(text.as_bytes());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::{io, sync::Arc};

    use super::*;

    #[test]
    fn equal_lines_are_written_once_a_second_with_the_number_left_out() {
        let (mut seen, start) = (Seen::default(), Instant::now());
        let at = |millis| start + Duration::from_millis(millis);
        assert_eq!(seen.judge(1, at(0)), Some(0));
        assert_eq!([seen.judge(1, at(1)), seen.judge(1, at(999))], [None, None]);
        assert_eq!(seen.judge(2, at(999)), Some(0), "another line");
        assert_eq!(seen.judge(1, at(1000)), Some(2));
        assert_eq!(seen.judge(1, at(1999)), None);
        assert_eq!(seen.judge(1, at(9000)), Some(1));
        assert_eq!(seen.judge(1, at(10_000)), Some(0));
    }

    #[test]
    fn memory_is_limited_and_further_lines_are_written() {
        let (mut seen, start) = (Seen::default(), Instant::now());
        for line in 0..10_000 {
            assert_eq!(seen.judge(line, start), Some(0));
        }
        assert_eq!(seen.judge(9_999, start), Some(0), "not remembered, so not left out");
        assert_eq!(seen.0.len(), MAX_LINES);
        seen.judge(10_000, start + PERIOD);
        assert_eq!(seen.0.len(), 1, "old ones make room");
    }

    #[derive(Clone, Default)]
    struct Written(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Written {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn fail(request_id: u32, cause: &str) {
        tracing::warn!(request_id, cause, "answered 503");
    }

    fn log() {
        for request_id in 0..100 {
            fail(request_id, "no slot");
            fail(request_id, "no answer");
            tracing::info!("an everyday line");
        }
    }

    /// The lines of [`log`], and of one more after a period.
    fn written<F>(subscriber: F) -> Vec<String>
    where
        F: FnOnce(Written) -> Box<dyn Subscriber + Send + Sync>,
    {
        let written = Written::default();
        tracing::subscriber::with_default(subscriber(written.clone()), || {
            log();
            std::thread::sleep(PERIOD);
            fail(7, "no slot");
        });
        let bytes = written.0.lock().clone();
        String::from_utf8(bytes).expect("text").lines().map(str::to_owned).collect()
    }

    #[test]
    fn lines_that_differ_only_in_the_request_id_are_equal() {
        let builder = || tracing_subscriber::fmt().with_ansi(false);
        let text = written(|to| {
            let to = move || to.clone();
            Box::new(builder().map_event_format(Repeats::new).with_writer(to).finish())
        });
        let count = |part: &str| text.iter().filter(|line| line.contains(part)).count();
        assert_eq!(count("an everyday line"), 100, "only warnings and errors are left out");
        let counts = (count("no answer"), count("no slot"), count("left_out"));
        // More than one of each if logging took longer than a second.
        assert!(counts.0 < 50 && counts.1 < 50 && counts.2 >= 1, "{text:?}");
        let last = text.last().expect("a line");
        assert!(last.contains("answered 503 request_id=7 cause=\"no slot\" left_out="), "{last}");

        let json = written(|to| {
            let (builder, to) = (builder().json().flatten_event(true), move || to.clone());
            Box::new(builder.map_event_format(Repeats::new).with_writer(to).finish())
        });
        let last: serde_json::Value = serde_json::from_str(json.last().expect("a line")).expect("JSON");
        assert!(last["left_out"].as_u64().is_some_and(|count| count > 0), "{last}");
        assert_eq!((&last["message"], &last["request_id"]), (&"answered 503".into(), &7.into()));
    }
}
