//! Extracts the client of a request, which is stored with a session.

use std::{
    future::{Ready, ready},
    net::IpAddr,
};

use actix_web::{FromRequest, HttpRequest, dev::Payload, http::header};

use crate::http::{ClientIp, Network, Problem};

/// Characters of a `User-Agent` that are kept.
const MAX_USER_AGENT: usize = 256;

/// The address of a client, and the program that it claims to be.
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

    pub fn network(&self) -> Network {
        Network::of(self.address)
    }

    /// Names the program with words from a fixed list.
    pub fn device(&self) -> String {
        device_of(self.user_agent.as_deref().unwrap_or_default())
    }
}

impl FromRequest for Client {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(req: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let address = ClientIp::from_request(req, payload).into_inner();
        let user_agent = req.headers().get(header::USER_AGENT).and_then(|value| value.to_str().ok());
        ready(address.map(|ClientIp(address)| Self::new(address, user_agent)))
    }
}

/// Names the device of a `User-Agent` with words from a fixed list. The header itself is chosen by the client, so it
/// could be an advertisement or a link.
pub fn device_of(user_agent: &str) -> String {
    // The order matters: most browsers also name others.
    const PROGRAMS: [(&str, &str); 6] = [
        ("Edg/", "Edge"),
        ("OPR/", "Opera"),
        ("Firefox/", "Firefox"),
        ("FxiOS/", "Firefox"),
        ("Chrome/", "Chrome"),
        ("Safari/", "Safari"),
    ];
    const SYSTEMS: [(&str, &str); 6] = [
        ("iPhone", "iOS"),
        ("iPad", "iOS"),
        ("Android", "Android"),
        ("Windows", "Windows"),
        ("Mac OS", "macOS"),
        ("Linux", "Linux"),
    ];
    let find = |names: &[(&str, &'static str)]| {
        names.iter().find(|(part, _)| user_agent.contains(part)).map(|(_, name)| *name)
    };
    match (find(&PROGRAMS), find(&SYSTEMS)) {
        (Some(program), Some(system)) => format!("{program} on {system}"),
        (Some(program), None) => program.to_owned(),
        (None, Some(system)) => format!("a device with {system}"),
        (None, None) => "an unknown device".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::device_of;

    #[test]
    fn a_device_is_named_with_words_of_a_fixed_list() {
        let chrome =
            "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 Chrome/141.0 Safari/537.36";
        let edge = format!("{chrome} Edg/141.0");
        let phone = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_7 like Mac OS X) AppleWebKit/605 Version/26.0 Safari/604.1";
        let cases = [
            (chrome, "Chrome on Windows"),
            (&edge, "Edge on Windows"),
            (phone, "Safari on iOS"),
            ("ShopApp/3 (Android 16)", "a device with Android"),
            ("Log in at https://evil.example", "an unknown device"),
            ("", "an unknown device"),
        ];
        for (user_agent, name) in cases {
            assert_eq!(device_of(user_agent), name);
        }
    }
}
