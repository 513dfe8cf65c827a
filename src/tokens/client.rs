//! The client of a session.

use std::net::IpAddr;

/// Characters of a `User-Agent` that are kept.
const MAX_USER_AGENT: usize = 256;

/// Who is on the other end.
#[derive(Clone, Debug)]
pub struct Client {
    pub address: IpAddr,
    pub user_agent: Option<String>,
}

impl Client {
    pub fn new(address: IpAddr, user_agent: Option<&str>) -> Self {
        let cut = |text: &str| text.chars().filter(|c| !c.is_control()).take(MAX_USER_AGENT).collect();
        Self { address, user_agent: user_agent.map(cut) }
    }
}
