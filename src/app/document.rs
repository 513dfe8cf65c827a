//! The OpenAPI document, generated from the registered routes.

use actix_web::{
    App, HttpResponse, get,
    http::header,
    web::{Bytes, Data},
};
use utoipa::{
    Modify, OpenApi,
    openapi::{
        self,
        security::{ApiKey, ApiKeyValue, Http, HttpAuthScheme, SecurityScheme},
    },
};
use utoipa_actix_web::AppExt;

use crate::http::{Problem, complete, kind};

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Mintage",
        description = "Accounts, JWTs, sessions, user management and coins over JSON.\n\n\
            Register, log in, then send `Authorization: Bearer <access_token>`. When it has \
            expired, exchange the refresh token for a new pair. Errors are problem details \
            (RFC 9457) with a stable `code`; every response has an `X-Request-Id`.",
        license(name = "MIT", identifier = "MIT"),
    ),
    servers((url = "/", description = "This server.")),
    tags(
        (name = "auth", description = "Registration, login and logout."),
        (name = "mail", description = "Links and codes by mail: confirmation, recovery, changes."),
        (name = "sessions", description = "The sessions of your account."),
        (name = "api-keys", description = "Keys with which your programs act for you."),
        (name = "oauth", description = "Introspection and revocation of tokens, for gateways and other services."),
        (name = "user", description = "Your own account."),
        (name = "users", description = "Administration of accounts."),
        (name = "coins", description = "Market data."),
        (name = "watchlist", description = "The coins you watch."),
        (name = "alerts", description = "Mails when a price or another number of a coin crosses a threshold."),
        (name = "jobs", description = "Administration of background jobs."),
        (name = "audit", description = "The trail of security events, for admins."),
        (name = "pages", description = "Built-in pages for links in mails, without a frontend."),
        (name = "system", description = "Keys, health and documentation."),
    ),
    modifiers(&BearerScheme),
)]
struct Base;

struct BearerScheme;

impl Modify for BearerScheme {
    fn modify(&self, document: &mut openapi::OpenApi) {
        let mut scheme = Http::new(HttpAuthScheme::Bearer);
        scheme.bearer_format = Some("JWT".into());
        scheme.description = Some("An access token from `POST /api/v1/auth/login`.".into());
        let components = document.components.get_or_insert_default();
        components.add_security_scheme("bearer", SecurityScheme::Http(scheme));
        let mut basic = Http::new(HttpAuthScheme::Basic);
        let text = "The id or the first 8 characters of an API key, and the key. Only for introspection.";
        basic.description = Some(text.into());
        components.add_security_scheme("basic", SecurityScheme::Http(basic));
        let key = "An API key from `POST /api/v1/user/api-keys` with the scope that the operation needs. Operations that \
            accept keys also take one as a bearer token, but not both.";
        let key = ApiKey::Header(ApiKeyValue::with_description("X-Api-Key", key));
        components.add_security_scheme("apiKey", SecurityScheme::ApiKey(key));
    }
}

/// The whole document; the same in every configuration.
pub fn document() -> openapi::OpenApi {
    let (_, mut document) =
        App::new().into_utoipa_app().openapi(Base::openapi()).configure(super::routes).split_for_parts();
    complete(&mut document);
    document
}

/// The serialised document; None with `API_DOCS=off`.
#[derive(Clone)]
pub(super) struct Document(Option<Bytes>);

impl Document {
    pub fn new(document: &openapi::OpenApi, served: bool) -> Self {
        Self(served.then(|| document.to_json().expect("the document serialises").into()))
    }
}

/// This document
///
/// Returns the OpenAPI 3.1 document, generated from the routes of the server.
#[utoipa::path(
    tag = "system",
    security(()),
    responses((status = 200, description = "The OpenAPI document.", body = Object,
        example = json!({"openapi": "3.1.0", "info": {"title": "Mintage"}, "paths": {}})),
        (status = 404, description = "`not-found`: the documentation is turned off."))
)]
#[get("/openapi.json")]
pub async fn openapi_json(document: Data<Document>) -> Result<HttpResponse, Problem> {
    let document = document.0.clone().ok_or_else(|| Problem::new(&kind::NOT_FOUND))?;
    Ok(HttpResponse::Ok()
        .content_type("application/json")
        .insert_header((header::CACHE_CONTROL, "public, max-age=60"))
        .body(document))
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    fn operations() -> Vec<Value> {
        let document = serde_json::to_value(super::document()).expect("JSON");
        let paths = document["paths"].as_object().expect("paths");
        paths.values().flat_map(|item| item.as_object().expect("operations").values().cloned()).collect()
    }

    /// The examples of a problem response are found by the codes in its description.
    #[test]
    fn every_problem_response_names_its_codes() {
        for operation in operations() {
            for (status, response) in operation["responses"].as_object().expect("responses") {
                let examples = &response["content"]["application/problem+json"]["examples"];
                let id = &operation["operationId"];
                let is_oauth = response["content"]["application/json"].is_object();
                let is_problem = status == "300" || (status.as_str() >= "400" && !is_oauth);
                assert_eq!(examples.is_object(), is_problem, "{id} {status}");
            }
        }
    }

    /// Swagger UI would send the example by default.
    #[test]
    fn no_optional_parameter_has_an_example() {
        for operation in operations() {
            for parameter in operation["parameters"].as_array().into_iter().flatten() {
                let has_example = parameter.get("example").is_some();
                assert!(parameter["required"] == true || !has_example, "{parameter}");
            }
        }
    }
}
