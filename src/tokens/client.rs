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
