//! `GET /postman.json`: the Postman collection of `postman/`, with the address of this server.

use std::sync::OnceLock;

use actix_web::{
    HttpRequest, HttpResponse, get,
    http::header::{self, HeaderValue},
    web::{Bytes, Data},
};
use serde_json::Value;

use crate::http::{
    Problem,
    etag::{none_match_has, of_body},
    kind,
};

const COLLECTION: &str = include_str!("../../postman/mintage.postman_collection.json");

/// The collection as it is served.
pub struct Postman {
    public_url: String,
    /// Whether it is served; not with `API_DOCS=off`.
    served: bool,
    /// Made for the first request: the collection is large, and most servers are never asked for it.
    prepared: OnceLock<(Bytes, HeaderValue)>,
}

impl Postman {
    pub fn new(public_url: &str, served: bool) -> Self {
        Self { public_url: public_url.to_owned(), served, prepared: OnceLock::new() }
    }

    /// The collection and its entity tag.
    fn prepared(&self) -> &(Bytes, HeaderValue) {
        self.prepared.get_or_init(|| {
            let body: Bytes = with_base_url(&self.public_url).to_string().into();
            let etag = of_body(&body);
            (body, etag)
        })
    }
}

/// The collection, whose variable `base_url` is this address.
fn with_base_url(address: &str) -> Value {
    let mut collection: Value = serde_json::from_str(COLLECTION).expect("the generated file is JSON");
    let variables = collection["variable"].as_array_mut().into_iter().flatten();
    for variable in variables.filter(|variable| variable["key"] == "base_url") {
        variable["value"] = address.into();
    }
    collection
}

/// Postman collection
///
/// Returns a collection for Postman (format 2.1) with all operations and examples of their responses, for *Import* in
/// Postman. Its variable `base_url` is the address of this server; it holds no secret.
#[utoipa::path(
    tag = "system",
    security(()),
    params(("If-None-Match" = Option<String>, Header, description = "The `ETag` of the response the client already has.")),
    responses(
        (status = 200, description = "The collection.", body = Object,
            headers(
                ("ETag" = String, description = "Entity tag of the collection, for `If-None-Match`."),
                ("Cache-Control" = String, description = "`public, max-age=60`."),
            ),
            example = json!({"info": {"name": "Mintage",
                "schema": "https://schema.getpostman.com/json/collection/v2.1.0/collection.json"},
                "variable": [{"key": "base_url", "value": "http://127.0.0.1:8080", "type": "string"}], "item": []})),
        (status = 304, description = "The collection is the one that you have."),
        (status = 404, description = "`not-found`: the documentation is turned off."),
    )
)]
#[get("/postman.json")]
pub async fn postman_json(req: HttpRequest, postman: Data<Postman>) -> Result<HttpResponse, Problem> {
    if !postman.served {
        return Err(Problem::new(&kind::NOT_FOUND));
    }
    let (body, etag) = postman.prepared();
    let is_known = none_match_has(&req, etag);
    let mut response = if is_known { HttpResponse::NotModified() } else { HttpResponse::Ok() };
    response
        .insert_header((header::ETAG, etag.clone()))
        .insert_header((header::CACHE_CONTROL, "public, max-age=60"));
    if is_known {
        return Ok(response.finish());
    }
    Ok(response.content_type("application/json").body(body.clone()))
}
