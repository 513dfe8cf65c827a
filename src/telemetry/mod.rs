//! Logs and metrics. Logs: text for people in development, one JSON object a line in production.
//!
//! What is logged never holds a secret, a token, an e-mail or network address. Logging never waits
//! and never fails: see `output.rs`.

mod exposition;
mod output;
mod repeats;

use std::{
    backtrace::{Backtrace, BacktraceStatus},
    io::{self, IsTerminal, Write},
    panic::{self, PanicHookInfo},
    thread,
    time::Duration,
};

use tracing_subscriber::{EnvFilter, fmt};

pub use self::exposition::{CONTENT_TYPE, Exposition, Histogram};
use self::{output::STDERR, repeats::Repeats};
use crate::config::{Log, LogFormat};

/// How long the end of the process waits for the reader of its last lines.
const LAST_LINES: Duration = Duration::from_secs(1);

/// Installs the process-wide subscriber; a second call (tests) changes nothing.
pub fn init(log: &Log) {
    // Clients that send nonsense instead of HTTP must not be able to fill the log.
    let filter = EnvFilter::new(format!("actix_http=off,{}", log.level));
    let builder = fmt().with_env_filter(filter).with_writer(|| Line).log_internal_errors(false);
    let builder = builder.with_ansi(io::stderr().is_terminal());
    let installed = match log.format {
        LogFormat::Text => builder.with_target(false).map_event_format(Repeats::new).try_init(),
        LogFormat::Json => builder.json().flatten_event(true).map_event_format(Repeats::new).try_init(),
    };
    // An error means that a subscriber is already there, which is all we want.
    if installed.is_ok() {
        panic::set_hook(Box::new(log_panic));
    }
}

/// Log lines that were never written, since the start.
#[must_use]
pub fn dropped_log_lines() -> u64 {
    STDERR.dropped()
}

/// Writes a line to stderr, after what was logged before. As logging, it neither waits nor fails.
pub fn write_line(line: &str) {
    STDERR.push(format!("{line}\n").as_bytes());
}

/// Has the last lines written at the end of the process, if that takes no longer than a second.
pub struct FlushAtEnd;

impl Drop for FlushAtEnd {
    fn drop(&mut self) {
        STDERR.flush(LAST_LINES);
    }
}

/// A formatted event, which comes in one piece.
struct Line;

impl Write for Line {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        STDERR.push(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The hook of the standard library writes to stderr itself, and so waits for its reader.
fn log_panic(panic: &PanicHookInfo<'_>) {
    let thread = thread::current();
    let thread = thread.name().unwrap_or("without a name");
    let location = panic.location().map(ToString::to_string);
    let text = panic.payload_as_str().unwrap_or("without a text");
    let backtrace = Backtrace::capture();
    let backtrace = (backtrace.status() == BacktraceStatus::Captured).then(|| backtrace.to_string());
    tracing::error!(thread, location, text, backtrace, "a thread panicked");
}
