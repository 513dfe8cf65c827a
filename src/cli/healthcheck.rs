//! `mintage healthcheck`

use std::{net::IpAddr, time::Duration};

use actix_web::rt::System;
use anyhow::{Context, Result};
use reqwest::Client;

use crate::config::Config;

const TIMEOUT: Duration = Duration::from_secs(4);

/// Requests `/healthz` of the server with the same settings; for containers, which have no curl.
pub(super) fn run(config: &Config) -> Result<()> {
    let mut address = config.server.bind;
    if address.ip().is_unspecified() {
        address.set_ip(match address.ip() {
            IpAddr::V4(_) => [127, 0, 0, 1].into(),
            IpAddr::V6(_) => [0, 0, 0, 0, 0, 0, 0, 1].into(),
        });
    }
    let scheme = if config.server.tls.is_some() { "https" } else { "http" };
    // The certificate is for the public host name, not for this address.
    let http = Client::builder().no_proxy().timeout(TIMEOUT).tls_danger_accept_invalid_certs(true).build()?;
    System::new().block_on(async {
        let response = http.get(format!("{scheme}://{address}/healthz")).send().await;
        response.and_then(reqwest::Response::error_for_status).context("the server does not answer")?;
        Ok(())
    })
}
