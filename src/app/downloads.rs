//! Answers `GET /openapi.json`, `GET /openapi-3.0.json` and `GET /postman.json`: the documents that tools read, with the
//! address of this server.

use std::sync::OnceLock;

use actix_web::{
    HttpRequest, HttpResponse, get,
    http::header::{self, HeaderValue},
    web::Data,
};
use serde_json::Value;
use utoipa::openapi::{OpenApi, Server};

use super::document::{document, in_openapi_30};
use crate::http::{Prepared, Problem, kind};

const COLLECTION: &str = include_str!("../../postman/mintage.postman_collection.json");

/// The documents. Each is made and compressed for its first request: they are large, and most servers are never asked.
pub struct Downloads {
    public_url: String,
    /// Whether they are served; not with `API_DOCS=off`.
    served: bool,
    openapi: OnceLock<Prepared>,
    openapi_30: OnceLock<Prepared>,
    postman: OnceLock<Prepared>,
}

impl Downloads {
    pub fn new(public_url: &str, served: bool) -> Self {
        let (openapi, openapi_30, postman) = Default::default();
        Self { public_url: public_url.to_owned(), served, openapi, openapi_30, postman }
    }

    fn respond(
        &self,
        req: &HttpRequest,
        prepared: &OnceLock<Prepared>,
        prepare: fn(&str) -> Prepared,
    ) -> Result<HttpResponse, Problem> {
        if !self.served {
            return Err(Problem::new(&kind::NOT_FOUND));
        }
        let mut response = prepared.get_or_init(|| prepare(&self.public_url)).respond(req);
        let headers = response.headers_mut();
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("public, max-age=60"));
        Ok(response)
    }
}

/// OpenAPI document
///
/// Returns the OpenAPI 3.1 document, generated from the routes of the server.
#[utoipa::path(
    tag = "system",
    security(()),
    params(("If-None-Match" = Option<String>, Header, description = "The `ETag` of the response the client already has.")),
    responses(
        (status = 200, description = "The OpenAPI document.", body = Object,
            headers(
                ("ETag" = String, description = "Identifies this version of the response; send it as `If-None-Match`."),
                ("Cache-Control" = String, description = "`public, max-age=60`."),
            ),
            example = json!({"openapi": "3.1.0", "info": {"title": "Mintage"}, "paths": {}})),
        (status = 304, description = "The response has not changed."),
        (status = 404, description = "`not-found`: the documentation is turned off."),
    )
)]
#[get("/openapi.json")]
pub async fn openapi_json(req: HttpRequest, downloads: Data<Downloads>) -> Result<HttpResponse, Problem> {
    downloads.respond(&req, &downloads.openapi, |address| Prepared::new(&document_at(address)))
}

/// OpenAPI document, version 3.0
///
/// Returns the same document for generators and gateways that do not read OpenAPI 3.1. Every error is a plain `Problem`
/// there.
#[utoipa::path(
    tag = "system",
    security(()),
    params(("If-None-Match" = Option<String>, Header, description = "The `ETag` of the response the client already has.")),
    responses(
        (status = 200, description = "The OpenAPI document.", body = Object,
            headers(
                ("ETag" = String, description = "Identifies this version of the response; send it as `If-None-Match`."),
                ("Cache-Control" = String, description = "`public, max-age=60`."),
            ),
            example = json!({"openapi": "3.0.3", "info": {"title": "Mintage"}, "paths": {}})),
        (status = 304, description = "The response has not changed."),
        (status = 404, description = "`not-found`: the documentation is turned off."),
    )
)]
#[get("/openapi-3.0.json")]
pub async fn openapi_30_json(req: HttpRequest, downloads: Data<Downloads>) -> Result<HttpResponse, Problem> {
    downloads
        .respond(&req, &downloads.openapi_30, |address| Prepared::new(&in_openapi_30(&document_at(address))))
}

/// The document that names this address, so that clients which are generated from it call this server.
fn document_at(address: &str) -> OpenApi {
    let mut document = document();
    document.servers = Some(vec![Server::new(address)]);
    document
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
                ("ETag" = String, description = "Identifies this version of the response; send it as `If-None-Match`."),
                ("Cache-Control" = String, description = "`public, max-age=60`."),
            ),
            example = json!({"info": {"name": "Mintage",
                "schema": "https://schema.getpostman.com/json/collection/v2.1.0/collection.json"},
                "variable": [{"key": "base_url", "value": "http://127.0.0.1:8080", "type": "string"}], "item": []})),
        (status = 304, description = "The response has not changed."),
        (status = 404, description = "`not-found`: the documentation is turned off."),
    )
)]
#[get("/postman.json")]
pub async fn postman_json(req: HttpRequest, downloads: Data<Downloads>) -> Result<HttpResponse, Problem> {
    downloads.respond(&req, &downloads.postman, |address| Prepared::new(&collection_at(address)))
}

/// The collection, whose variable `base_url` is this address.
fn collection_at(address: &str) -> Value {
    let mut collection: Value = serde_json::from_str(COLLECTION).expect("the generated file is JSON");
    let variables = collection["variable"].as_array_mut().into_iter().flatten();
    for variable in variables.filter(|variable| variable["key"] == "base_url") {
        variable["value"] = address.into();
    }
    collection
}
