//! Measures a read with an API key against one with an access token.

use std::process::Command;

use anyhow::{Context, Result};
use mintage_bench::process::{Home, Mintage};

use super::{ROUNDS, bearer, cpu_of_load, median};
use crate::Row;

pub fn keys() -> Result<Vec<Row>> {
    let home = Home::new()?;
    let server = Mintage::start(&home.0)?;
    let (token, _) = server.log_in("ada@example.com")?;
    let key = create_key(&server, &token)?;
    let url = format!("http://{}/api/v1/coins", server.address);
    let (mut tokens, mut keys) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        tokens.push(cpu_of_load(server.pid(), &url, &[bearer(&token)])?);
        keys.push(cpu_of_load(server.pid(), &url, &[bearer(&key)])?);
    }
    let ratio = median(keys.iter().zip(&tokens).map(|(key, token)| key / token).collect());
    Ok(vec![Row {
        what: "`GET /coins` with an API key, CPU a request, against the same with an access token",
        measured: format!("{:.1} µs against {:.1} µs", median(keys), median(tokens)),
        result: format!("{ratio:.2}x"),
        target: "<= 1.05x",
        met: ratio <= 1.05,
    }])
}

fn create_key(server: &Mintage, token: &str) -> Result<String> {
    let output = Command::new("curl")
        .args(["-s", "-H", &bearer(token), "-H", "Content-Type: application/json"])
        .args(["-d", r#"{"name":"bench","scopes":["coins:read"]}"#])
        .arg(format!("http://{}/api/v1/user/api-keys", server.address))
        .output()?;
    let body: serde_json::Value = serde_json::from_slice(&output.stdout)?;
    Ok(body["key"].as_str().context("no key")?.to_owned())
}
