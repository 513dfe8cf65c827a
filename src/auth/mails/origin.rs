//! Tells in a mail when and from where something was done to an account.

use std::net::IpAddr;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::tokens::Client;

/// When and from where a request came. Only for mails to a confirmed address: another one may be a stranger's.
#[derive(Serialize, Deserialize, Clone)]
pub struct Origin {
    at: DateTime<Utc>,
    address: IpAddr,
    /// Browser and system in words of a fixed list.
    device: String,
}

impl Origin {
    pub fn of(client: &Client, at: DateTime<Utc>) -> Self {
        Self { at, address: client.address, device: client.device() }
    }

    /// Continues a sentence: "on 22 November 2026, 12:00 UTC, from the address 203.0.113.9 with Firefox on Linux".
    pub fn words(&self) -> String {
        let at = self.at.format("%-d %B %Y, %H:%M UTC");
        format!("on {at}, from the address {} with {}", self.address, self.device)
    }
}
