//! Who reports on the market, one file each.

pub(super) mod coinmarketcap;
pub(super) mod demo;

use std::time::Duration;

/// Why a provider gave nothing.
#[derive(Debug, PartialEq, thiserror::Error)]
#[error("{message}")]
pub struct Failure {
    pub message: String,
    pub advice: Advice,
}

/// When to ask again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Advice {
    /// Soon, in growing intervals: a fault that passes.
    BackOff,
    /// Not before the provider says.
    After(Duration),
    /// When its day (UTC) ends.
    NextDay,
    /// An operator has to act and restart; a look a day finds out whether it was done.
    Stop,
}

impl Failure {
    fn new(advice: Advice, message: impl Into<String>) -> Self {
        let message = message.into();
        Self { message, advice }
    }
}
