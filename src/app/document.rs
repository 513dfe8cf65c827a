//! The OpenAPI document, generated from the registered routes.

use actix_web::App;
use serde_json::Value;
use utoipa::{
    Modify, OpenApi,
    openapi::{
        self,
        security::{ApiKey, ApiKeyValue, Http, HttpAuthScheme, SecurityScheme},
    },
};
use utoipa_actix_web::AppExt;

use crate::http::{complete, to_openapi_30};

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
    servers((url = "http://127.0.0.1:8080", description = "A local server, in development.")),
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
        (name = "portfolio", description = "What you bought and sold, its value and its gains."),
        (name = "jobs", description = "Administration of background jobs."),
        (name = "audit", description = "The trail of security events, for admins."),
        (name = "pages", description = "The start page, and the pages that links in mails open."),
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
        scheme.description =
            Some("An access token from `POST /api/v1/auth/login`: a JWT that follows RFC8725.".into());
        let components = document.components.get_or_insert_default();
        components.add_security_scheme("bearer", SecurityScheme::Http(scheme));
        let mut admin = Http::new(HttpAuthScheme::Bearer);
        admin.bearer_format = Some("JWT".into());
        admin.description =
            Some("An access token as for `bearer` (RFC8725), of an account with the role `admin`.".into());
        components.add_security_scheme("admin", SecurityScheme::Http(admin));
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

/// The whole document, in OpenAPI 3.0.
pub fn document_30() -> Value {
    in_openapi_30(&document())
}

pub(super) fn in_openapi_30(document: &openapi::OpenApi) -> Value {
    to_openapi_30(serde_json::to_value(document).expect("the document serialises"))
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    fn document() -> Value {
        serde_json::to_value(super::document()).expect("JSON")
    }

    fn operations() -> Vec<Value> {
        let document = document();
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
    fn no_optional_parameter_has_an_example_that_tools_fill_in() {
        for parameter in parameters() {
            let has_example = parameter.get("example").is_some();
            assert!(parameter["required"] == true || !has_example, "{parameter}");
        }
    }

    #[test]
    fn every_parameter_has_a_valid_example() {
        let document = document();
        for parameter in parameters() {
            let example = parameter.get("example").or_else(|| parameter["schema"]["examples"].get(0));
            let example = example.unwrap_or_else(|| panic!("{parameter} has no example"));
            assert_valid(&parameter["schema"], example, &document);
        }
    }

    #[test]
    fn every_json_body_has_a_valid_example_as_a_whole() {
        let document = document();
        let mut bodies = 0;
        for operation in operations() {
            for (status, response) in operation["responses"].as_object().expect("responses") {
                let content = &response["content"]["application/json"];
                if content.is_null() {
                    continue;
                }
                let id = &operation["operationId"];
                let example = content
                    .get("example")
                    .unwrap_or_else(|| panic!("{id} {status} needs examples of its members"));
                assert_valid(&content["schema"], example, &document);
                bodies += 1;
            }
        }
        assert!(bodies > 40, "{bodies}");
    }

    #[test]
    fn examples_of_other_bodies_are_whole_too() {
        let document = document();
        let example = |path: &str, kind: &str| {
            let content = &document["paths"][path]["get"]["responses"]["200"]["content"][kind];
            content["example"].as_str().expect("an example").to_owned()
        };
        let event = example("/api/v1/coins/stream", "text/event-stream");
        let data = event.lines().find_map(|line| line.strip_prefix("data: ")).expect("data");
        let list = serde_json::json!({"$ref": "#/components/schemas/CoinList"});
        assert_valid(&list, &serde_json::from_str(data).expect("JSON"), &document);
        for (path, schema) in
            [("/api/v1/users.ndjson", "User"), ("/api/v1/admin/audit.ndjson", "SecurityEvent")]
        {
            let row = serde_json::from_str(&example(path, "application/x-ndjson")).expect("a line of JSON");
            assert_valid(
                &serde_json::json!({"$ref": format!("#/components/schemas/{schema}")}),
                &row,
                &document,
            );
        }
        let picture = example("/api/v1/coins/{coin}/chart.svg", "image/svg+xml");
        assert!(
            picture.starts_with("<svg ") && picture.ends_with("</svg>") && picture.is_ascii(),
            "{picture}"
        );
    }

    #[test]
    fn every_body_that_is_not_json_is_a_string_to_clients() {
        let document = document();
        for operation in operations() {
            for response in operation["responses"].as_object().expect("responses").values() {
                for (kind, content) in response["content"].as_object().into_iter().flatten() {
                    let name = content["schema"]["$ref"].as_str().unwrap_or_default().trim_start_matches('#');
                    let schema =
                        document.pointer(name).filter(|_| !name.is_empty()).unwrap_or(&content["schema"]);
                    assert!(kind.ends_with("json") || schema["type"] == "string", "{kind}: {schema}");
                }
            }
        }
    }

    /// Clients that refuse unknown values have to read the problems of later versions.
    #[test]
    fn problems_are_open_and_those_of_an_operation_are_listed() {
        let document = document();
        let problem = &document["components"]["schemas"]["Problem"]["properties"]["code"];
        assert!(problem["type"] == "string" && problem.get("enum").is_none(), "{problem}");
        for operation in operations() {
            for response in operation["responses"].as_object().expect("responses").values() {
                let content = &response["content"]["application/problem+json"];
                let Some(examples) = content["examples"].as_object() else {
                    continue;
                };
                let schema = &content["schema"];
                let listed = schema["oneOf"].as_array().cloned().unwrap_or_else(|| vec![schema.clone()]);
                let code = |schema: &Value| {
                    let name = schema["$ref"].as_str().expect("a name").trim_start_matches('#');
                    let narrow = &document.pointer(name).expect("a schema")["allOf"][1]["properties"]["code"];
                    narrow["enum"][0].as_str().expect("a code").to_owned()
                };
                let mut codes: Vec<_> = listed.iter().map(code).collect();
                codes.sort_unstable();
                assert_eq!(codes, examples.keys().cloned().collect::<Vec<_>>(), "{schema}");
            }
        }
    }

    #[test]
    fn the_older_document_has_nothing_that_is_new_in_openapi_31() {
        let older = super::document_30();
        assert_eq!(older["openapi"], "3.0.3");
        let paths = |document: &Value| {
            document["paths"].as_object().expect("paths").keys().cloned().collect::<Vec<_>>()
        };
        assert_eq!(paths(&older), paths(&document()));
        let text = older.to_string();
        for new in
            [r#""type":["#, r#""type":"null""#, r#""const":"#, r#""propertyNames":"#, r#""identifier":"#]
        {
            assert!(!text.contains(new), "{new}");
        }
    }

    fn parameters() -> impl Iterator<Item = Value> {
        operations()
            .into_iter()
            .flat_map(|operation| operation["parameters"].as_array().cloned().unwrap_or_default())
    }

    fn assert_valid(schema: &Value, example: &Value, document: &Value) {
        let mut schema = schema.clone();
        schema["components"] = document["components"].clone();
        let options = jsonschema::options().should_validate_formats(true);
        let errors: Vec<_> = options
            .build(&schema)
            .expect("a JSON schema")
            .iter_errors(example)
            .map(|error| error.to_string())
            .collect();
        assert!(errors.is_empty(), "{errors:?} in {example}");
    }
}
