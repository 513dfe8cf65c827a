//! Logs and metrics. Logs: text for people in development, one JSON object a line in production.
//!
//! What is logged never holds a secret, a token, an e-mail or network address.

mod exposition;

use std::io::{self, IsTerminal};

use tracing_subscriber::{EnvFilter, fmt};

pub use self::exposition::{CONTENT_TYPE, Exposition, Histogram};
use crate::config::{Log, LogFormat};

/// Installs the process-wide subscriber; a second call (tests) changes nothing.
pub fn init(log: &Log) {
    // Whoever sends nonsense instead of HTTP must not be able to fill the log.
    let filter = EnvFilter::new(format!("actix_http=off,{}", log.level));
    let builder = fmt().with_env_filter(filter).with_writer(io::stderr);
    let builder = builder.with_ansi(io::stderr().is_terminal());
    // An error means that a subscriber is already there, which is all we want.
    let _ = match log.format {
        LogFormat::Text => builder.with_target(false).try_init(),
        LogFormat::Json => builder.json().flatten_event(true).try_init(),
    };
}
