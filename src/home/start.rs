//! Answers `GET /`: says what this server is, how old its data is, and where to go next; as a page for people, as JSON for
//! programs.

use actix_web::{HttpRequest, HttpResponse, get, http::header::CONTENT_SECURITY_POLICY, web::Data};
use askama::Template;
use chrono::{DateTime, TimeDelta, Utc};
use serde::Serialize;
use utoipa::ToSchema;

use super::{
    site::Site,
    version::{COMMIT, VERSION},
};
use crate::{
    clock::Clock,
    coins::{Provenance, View},
    http::{Problem, html, respond_once, respond_with},
};

/// This server in short.
#[derive(Serialize, ToSchema)]
#[schema(as = Start)]
pub struct StartBody<'a> {
    /// The name of the service (`PRODUCT_NAME`).
    #[schema(example = "Mintage")]
    name: &'a str,
    /// Version of the program. Missing with `API_DOCS=off`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, required = false, example = "0.1.0")]
    version: Option<&'static str>,
    /// Source and age of the market data. Missing until the server has some.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Provenance, required = false)]
    data: Option<Provenance>,
    links: Links,
}

/// Addresses of this server. Those of the documentation are missing with `API_DOCS=off`.
#[derive(Serialize, ToSchema)]
#[schema(as = StartLinks)]
pub struct Links {
    /// Swagger UI.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, required = false, format = "uri", example = "http://127.0.0.1:8080/apidocs/")]
    documentation: Option<String>,
    /// The OpenAPI document.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, required = false, format = "uri", example = "http://127.0.0.1:8080/openapi.json")]
    openapi: Option<String>,
    /// A collection of requests for Postman.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, required = false, format = "uri", example = "http://127.0.0.1:8080/postman.json")]
    postman: Option<String>,
    /// Explains every kind of error.
    #[schema(format = "uri", example = "http://127.0.0.1:8080/problems")]
    problems: String,
    /// Whether the server is ready.
    #[schema(format = "uri", example = "http://127.0.0.1:8080/readyz")]
    health: String,
}

impl Links {
    fn new(site: &Site) -> Self {
        let link = |path: &str| format!("{}{path}", site.public_url);
        let documentation = |path: &str| site.docs.then(|| link(path));
        Self {
            documentation: documentation("/apidocs/"),
            openapi: documentation("/openapi.json"),
            postman: documentation("/postman.json"),
            problems: link("/problems"),
            health: link("/readyz"),
        }
    }
}

/// The texts of the page.
#[derive(Template)]
#[template(path = "home/start.html")]
struct Page<'a> {
    /// The relative address of the start page.
    root: &'a str,
    name: &'a str,
    /// None with `API_DOCS=off`, which also removes the links to the documentation.
    version: Option<&'a str>,
    commit: Option<&'a str>,
    data: String,
    attribution: Option<&'a str>,
    url: &'a str,
    mailbox: bool,
}

/// Start page
///
/// Returns what this server is, the age of its data, and where to go next. Browsers get a page for people (`Accept:
/// text/html`), other clients JSON.
#[utoipa::path(
    tag = "pages",
    security(()),
    responses(
        (status = 200, description = "This server in short.",
            content(
                (StartBody = "application/json", example = json!({
                    "name": "Mintage", "version": "0.1.0",
                    "data": {"as_of": "2026-11-20T09:30:00Z", "source": "coingecko", "simulated": false, "currency": "GBP", "stale": false, "next_update_at": "2026-11-20T09:35:10Z", "social_sources": [],
                        "attribution": "Data provided by CoinGecko (https://www.coingecko.com)"},
                    "links": {"documentation": "http://127.0.0.1:8080/apidocs/",
                        "openapi": "http://127.0.0.1:8080/openapi.json",
                        "postman": "http://127.0.0.1:8080/postman.json",
                        "problems": "http://127.0.0.1:8080/problems", "health": "http://127.0.0.1:8080/readyz"}
                })),
                (String = "text/html", example = "<!doctype html><title>Mintage</title>…")
            ),
            headers(("ETag" = String, description = "Send it as `If-None-Match`."))),
        (status = 304, description = "The client has this version."),
    )
)]
#[get("/")]
pub async fn start_page(
    req: HttpRequest,
    site: Data<Site>,
    view: Data<View>,
    clock: Data<Clock>,
) -> Result<HttpResponse, Problem> {
    let data = view.newest_provenance();
    let version = site.docs.then_some(VERSION);
    if !html::is_preferred(&req) {
        let body = StartBody { name: &site.product_name, version, data, links: Links::new(&site) };
        return Ok(respond_once(&req, &body));
    }
    let page = Page {
        root: "",
        name: &site.product_name,
        version,
        commit: COMMIT,
        data: describe(data.as_ref(), clock.now()),
        attribution: data.as_ref().and_then(|data| data.attribution),
        url: &site.public_url,
        mailbox: site.mailbox,
    };
    let html = page.render().map_err(Problem::internal)?;
    let mut response = respond_with(&req, html::CONTENT_TYPE, html.into_bytes());
    response.headers_mut().insert(CONTENT_SECURITY_POLICY, html::POLICY.clone());
    Ok(response)
}

/// Describes the market data for people.
fn describe(data: Option<&Provenance>, now: DateTime<Utc>) -> String {
    let Some(data) = data else {
        return "No market data yet.".into();
    };
    let age = age(now - data.as_of);
    match data.source.as_str() {
        "demo" => format!("Demonstration data: invented numbers, {age} old."),
        source if data.simulated => {
            format!("Simulated market data from {source}, {age} old: all prices and posts are invented.")
        }
        source if data.stale => {
            format!("Market data from {source}, {age} old: newer data could not be fetched.")
        }
        source => format!("Market data from {source}, {age} old."),
    }
}

fn age(age: TimeDelta) -> String {
    match age.num_minutes() {
        ..=0 => "less than a minute".into(),
        minutes @ 1..120 => format!("{minutes} min"),
        minutes @ 120..2880 => format!("{} h", minutes / 60),
        minutes => format!("{} days", minutes / 1440),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_are_in_the_unit_that_people_would_choose() {
        for (minutes, text) in [
            (-5, "less than a minute"),
            (0, "less than a minute"),
            (1, "1 min"),
            (119, "119 min"),
            (120, "2 h"),
            (25 * 60 + 59, "25 h"),
            (48 * 60, "2 days"),
        ] {
            assert_eq!(age(TimeDelta::minutes(minutes)), text);
        }
    }
}
