//! What no body, path or query may contain or get repeated, for every operation of the document.

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::Method;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::{App, Client, Response};

/// Members of stored rows that a client must not set by adding them to a body.
const STORED: [&str; 12] = [
    "id",
    "role",
    "status",
    "version",
    "user_id",
    "created_at",
    "disabled_at",
    "deleted_at",
    "login_count",
    "avatar_url",
    "password_hash",
    "email_confirmed",
];

/// Texts that break lines, hide or reverse what follows, or control a terminal.
const HOSTILE: [&str; 9] = [
    "\u{1}",
    "\u{7f}",
    "\u{85}",
    "\u{202e}nimda",
    "\u{2066}a\u{2069}",
    "\u{feff}",
    "\u{e0041}",
    "a\r\nSet-Cookie: a=b",
    "\u{1b}[2J",
];

/// An operation that takes a JSON body.
struct Operation {
    method: Method,
    path: String,
    example: Value,
    /// The members of its body.
    properties: serde_json::Map<String, Value>,
}

fn document() -> Value {
    serde_json::from_str(&mintage::app::document().to_json().unwrap()).unwrap()
}

fn operations() -> Vec<Operation> {
    let document = document();
    let mut all = Vec::new();
    for (template, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let schema = &operation["requestBody"]["content"]["application/json"]["schema"];
            let Some(name) = schema["$ref"].as_str().and_then(|name| name.rsplit('/').next()) else {
                assert!(schema.is_null(), "{method} {template} has a body without a name");
                continue;
            };
            let schema = &document["components"]["schemas"][name];
            assert_eq!(schema["additionalProperties"], false, "{name} takes any member");
            all.push(Operation {
                method: method.to_uppercase().parse().unwrap(),
                path: template.replace("{id}", &Uuid::nil().to_string()).replace("{coin}", "bitcoin"),
                example: schema["example"].clone(),
                properties: schema["properties"].as_object().unwrap().clone(),
            });
        }
    }
    assert!(all.len() > 20, "there is nothing to walk over");
    all
}

async fn send(client: &Client, operation: &Operation, member: &str, value: Value) -> Response {
    let mut body = if operation.example.is_object() { operation.example.clone() } else { json!({}) };
    body[member] = value;
    client.send(operation.method.clone(), &operation.path, |request| request.json(&body)).await
}

#[tokio::test]
async fn no_body_sets_what_is_stored_besides_its_own_members() {
    let app = App::start();
    let admin = app.admin().await;
    for operation in operations() {
        for member in STORED.into_iter().filter(|member| !operation.properties.contains_key(*member)) {
            let refused = send(&admin, &operation, member, json!("admin")).await;
            assert_eq!(refused.status, 422, "{} {} takes {member}", operation.method, operation.path);
            refused.assert_invalid(&format!("/{member}"), "unknown-field");
        }
    }
}

#[tokio::test]
async fn no_text_of_a_body_takes_nul_or_reaches_a_response_with_characters_that_hide_or_break() {
    let app = App::start();
    let admin = app.admin().await;
    for operation in operations() {
        let is_text =
            |schema: &Value| schema["type"] == "string" || schema["type"] == json!(["string", "null"]);
        for (member, _) in operation.properties.iter().filter(|(_, schema)| is_text(schema)) {
            let what = format!("{} {} {member}", operation.method, operation.path);
            let refused = send(&admin, &operation, member, json!("a\0b")).await;
            assert_eq!(refused.status, 422, "{what} takes NUL");
            refused.assert_invalid(&format!("/{member}"), "control-character");
            for hostile in HOSTILE {
                let answer = send(&admin, &operation, member, json!(hostile)).await;
                assert!(answer.status.as_u16() < 500, "{what} answers {} to {hostile:?}", answer.status);
                let text = answer.text();
                assert!(!text.contains(hostile), "{what} repeats {hostile:?}");
            }
        }
    }
}

/// The method and the address of every operation with each of its parameters in turn replaced by `{}`.
fn addresses() -> Vec<(Method, String)> {
    let document = document();
    let mut all = Vec::new();
    for (template, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let method: Method = method.to_uppercase().parse().unwrap();
            for parameter in operation["parameters"].as_array().into_iter().flatten() {
                let name = parameter["name"].as_str().unwrap();
                let known = template.replace("{id}", &Uuid::nil().to_string()).replace("{coin}", "btc");
                match parameter["in"].as_str().unwrap() {
                    "path" => all.push((method.clone(), template.replace(&format!("{{{name}}}"), "{}"))),
                    "query" => all.push((method.clone(), format!("{known}?{name}={{}}"))),
                    _ => {}
                }
            }
        }
    }
    assert!(all.len() > 60, "there is nothing to walk over");
    all
}

#[tokio::test]
async fn no_path_or_query_reaches_a_response_with_characters_that_hide_or_break() {
    let app = App::start();
    let admin = app.admin().await;
    for (method, address) in addresses() {
        for hostile in HOSTILE {
            let text = utf8_percent_encode(hostile, NON_ALPHANUMERIC).to_string();
            let answer = admin.send(method.clone(), &address.replace("{}", &text), |request| request).await;
            let what = format!("{method} {address} with {hostile:?}");
            assert!(answer.status.as_u16() < 500, "{what} answers {}", answer.status);
            assert!(!answer.text().contains(hostile), "{what} repeats it");
        }
    }
}

#[tokio::test]
async fn an_error_names_members_and_values_but_repeats_no_more_than_a_part_of_them() {
    let app = App::start();
    let user = app.user().await;
    for hostile in HOSTILE {
        let body = json!({(hostile): 1});
        let refused = user.post("/api/v1/auth/logout", &body).await.assert(422);
        assert_eq!(refused.json()["errors"][0]["code"], "unknown-field", "{hostile:?}");
        assert!(!refused.text().contains(hostile), "{hostile:?}");
    }
    let named = user.post("/api/v1/auth/logout", &json!({"scope": "\u{202e}x"})).await;
    let expected = r"unknown variant `\u{202e}x`, expected one of `this`, `others`, `all`";
    assert_eq!(named.assert_invalid("/scope", "type").json()["errors"][0]["message"], expected);

    let long = "x".repeat(60_000);
    for body in [json!({"scope": long}), json!({(long.clone()): 1})] {
        let refused = user.post("/api/v1/auth/logout", &body).await.assert(422);
        assert!(refused.body.len() < 8000, "{}", refused.body.len());
    }
    let address = format!("/api/v1/users/{}", long.split_at(6000).0);
    let refused = app.admin().await.get(&address).await.assert(400);
    assert!(refused.body.len() < 4000, "{}", refused.body.len());
}
