//! Logs and metrics. Logs are text in development and one JSON object per line in production, on stderr.
//!
//! Logs never contain secrets, tokens, email addresses or network addresses. Logging never blocks and never fails: see
//! `output.rs`.

mod exposition;
mod output;
mod process;
mod repeats;

use std::{
    backtrace::{Backtrace, BacktraceStatus},
    io::{self, IsTerminal, Write},
    panic::{self, PanicHookInfo},
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Duration,
};

use tracing_subscriber::{EnvFilter, fmt};

pub use self::{
    exposition::{CLASSIC, Exposition, Histogram, MetricType, OPEN_METRICS},
    process::write_process,
};
use self::{output::STDERR, repeats::Repeats};
use crate::config::{Log, LogFormat};

/// Time to write the last lines when the process ends.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(1);

static IS_JSON: AtomicBool = AtomicBool::new(false);

/// Installs the subscriber of the process; a second call (in tests) does nothing.
pub fn init(log: &Log) {
    // Without the lines of actix about malformed requests, with which clients could flood the log, and about its threads,
    // which tell an operator nothing. LOG_LEVEL can turn them on, since of two directives for a module the last one counts.
    let filter = EnvFilter::new(format!("actix_http=off,actix_server=warn,{}", log.level));
    let builder = fmt().with_env_filter(filter).with_writer(|| Line).log_internal_errors(false);
    let builder = builder.with_ansi(io::stderr().is_terminal());
    let installed = match log.format {
        LogFormat::Text => builder.with_target(false).map_event_format(Repeats::new).try_init(),
        LogFormat::Json => builder.json().flatten_event(true).map_event_format(Repeats::new).try_init(),
    };
    // An error means that a subscriber is installed already.
    if installed.is_ok() {
        IS_JSON.store(log.format == LogFormat::Json, Ordering::Relaxed);
        panic::set_hook(Box::new(log_panic));
    }
}

/// Whether the log is JSON. False before [`init`].
pub fn is_json() -> bool {
    IS_JSON.load(Ordering::Relaxed)
}

/// Number of log lines that were dropped since the start.
pub fn dropped_log_lines() -> u64 {
    STDERR.dropped()
}

/// Writes a line to stderr, after everything that was logged before. Like logging, it neither blocks nor fails.
pub fn write_line(line: &str) {
    STDERR.push(format!("{line}\n").as_bytes());
}

/// Writes the last lines when dropped at the end of the process, within a second.
pub struct FlushAtEnd;

impl Drop for FlushAtEnd {
    fn drop(&mut self) {
        STDERR.flush(FLUSH_TIMEOUT);
    }
}

/// Writes formatted events, each in one call.
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

/// Logs a panic. The standard library's hook writes to stderr directly, which can block.
fn log_panic(panic: &PanicHookInfo<'_>) {
    let thread = thread::current();
    let thread = thread.name().unwrap_or("unnamed");
    let location = panic.location().map(ToString::to_string);
    let text = panic.payload_as_str().unwrap_or("no message");
    let backtrace = Backtrace::capture();
    let backtrace = (backtrace.status() == BacktraceStatus::Captured).then(|| backtrace.to_string());
    tracing::error!(thread, location, text, backtrace, "a thread panicked");
}
