//! What the pages of this room show of the settings.

use crate::config::Config;

pub struct Site {
    pub product_name: String,
    /// Without a trailing slash.
    pub public_url: String,
    /// `API_DOCS`: whether the version is stated, and the documentation linked to.
    pub docs: bool,
    /// Whether the page with the mails of this server is served.
    pub mailbox: bool,
}

impl Site {
    pub fn new(config: &Config, mailbox: bool) -> Self {
        Self {
            product_name: config.mail.product_name.clone(),
            public_url: config.server.public_url.clone(),
            docs: config.server.api_docs,
            mailbox,
        }
    }
}
