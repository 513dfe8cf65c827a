//! Logs: text for people in development, one JSON object a line in production.
//!
//! What is logged never holds a secret, a token, an e-mail or network address.

use std::io::{self, IsTerminal};

use tracing_subscriber::{EnvFilter, fmt};

use crate::config::{Log, LogFormat};

/// Installs the process-wide subscriber; a second call (tests) changes nothing.
pub fn init(log: &Log) {
    let filter = EnvFilter::try_new(&log.level).unwrap_or_else(|_| EnvFilter::new("info"));
    let builder = fmt().with_env_filter(filter).with_writer(io::stderr);
    // Colours are for a terminal; by default they go into files too.
    let builder = if io::stderr().is_terminal() { builder } else { builder.with_ansi(false) };
    // An error means that a subscriber is already there, which is all we want.
    let _ = match log.format {
        LogFormat::Text => builder.with_target(false).try_init(),
        LogFormat::Json => builder.json().flatten_event(true).try_init(),
    };
}
