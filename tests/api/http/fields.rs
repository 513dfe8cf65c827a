//! What no JSON body may contain, for every operation of the document.

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

/// An operation that takes a JSON body.
struct Operation {
    method: Method,
    path: String,
    example: Value,
    /// The members of its body.
    properties: serde_json::Map<String, Value>,
}

fn operations() -> Vec<Operation> {
    let document: Value = serde_json::from_str(&mintage::app::document().to_json().unwrap()).unwrap();
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
