//! Shows in a mail when and from where something was done to an account.

use std::net::IpAddr;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::TIME;
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

    /// The lines of the mail, such as "Device: Firefox on Linux".
    pub fn details(&self) -> [(&'static str, String); 3] {
        [
            ("When", self.at.format(TIME).to_string()),
            ("IP address", self.address.to_string()),
            ("Device", self.device.clone()),
        ]
    }
}
