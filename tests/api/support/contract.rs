//! Holds every answer against `openapi/openapi.json`: the status, the content type and the body
//! must be documented.

use std::{
    collections::HashMap,
    sync::{Arc, LazyLock, Mutex},
};

use jsonschema::Validator;
use reqwest::Method;
use serde_json::{Value, json};

use super::client::Response;

static DOCUMENT: LazyLock<Value> = LazyLock::new(|| {
    let text = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/openapi/openapi.json"));
    serde_json::from_str(text).expect("the document is JSON")
});

static VALIDATORS: LazyLock<Mutex<HashMap<String, Arc<Validator>>>> = LazyLock::new(Mutex::default);

#[track_caller]
pub fn check(method: &Method, path: &str, response: &Response) {
    let path = path.split('?').next().unwrap_or(path);
    assert!(response.headers.contains_key("x-request-id"), "{method} {path} has no request id");
    let Some((template, operation)) = operation(method, path) else {
        return check_undocumented(method, path, response);
    };
    let status = response.status.as_u16();
    let documented = &operation["responses"][status.to_string()];
    assert!(documented.is_object(), "{method} {template} answers {status} undocumented: {}", response.text());
    if let Some(location) = response.headers.get("location").filter(|_| [201, 202].contains(&status)) {
        let url = location.to_str().ok().and_then(|text| reqwest::Url::parse(text).ok());
        assert!(url.is_some(), "{method} {template}: Location is not an absolute URI: {location:?}");
        assert!(
            documented["headers"]["Location"].is_object(),
            "{method} {template}: Location is undocumented"
        );
    }
    let Some(content) = documented["content"].as_object().filter(|content| !content.is_empty()) else {
        assert!(response.body.is_empty(), "{method} {template} {status} has an undocumented body");
        return;
    };
    if method == Method::HEAD {
        return;
    }
    let content_type = response.header("content-type");
    let media_type = content_type.split(';').next().unwrap_or(content_type);
    assert!(content.contains_key(media_type), "{method} {template} {status} is {media_type}");
    if media_type.ends_with("json")
        && media_type != "application/x-ndjson"
        && !response.headers.contains_key("content-encoding")
    {
        let key = format!("{method} {template} {status}");
        assert_valid(&key, &content[media_type]["schema"], &response.json());
    }
}

fn operation(method: &Method, path: &str) -> Option<(&'static str, &'static Value)> {
    let method = if method == Method::HEAD { "get".into() } else { method.as_str().to_lowercase() };
    let paths = DOCUMENT["paths"].as_object().expect("paths");
    // One without a parameter wins.
    let matching = paths.iter().filter(|(template, _)| matches(template, path));
    let (template, item) = matching.min_by_key(|(template, _)| template.contains('{'))?;
    Some((template.as_str(), item.get(&method)?))
}

fn matches(template: &str, path: &str) -> bool {
    let (mut expected, mut given) = (template.split('/'), path.split('/'));
    loop {
        match (expected.next(), given.next()) {
            (None, None) => return true,
            (Some(part), Some(text)) if part == text || (part.starts_with('{') && !text.is_empty()) => {}
            _ => return false,
        }
    }
}

/// No operation: it must be a problem, or Swagger UI, or the mailbox of development, or the answer to OPTIONS.
#[track_caller]
fn check_undocumented(method: &Method, path: &str, response: &Response) {
    if method == Method::OPTIONS || path.starts_with("/apidocs") {
        return;
    }
    if path.starts_with("/dev/mails") && response.status.is_success() {
        return;
    }
    assert!(response.status.is_client_error(), "{method} {path} is not documented");
    if method != Method::HEAD {
        assert_eq!(response.header("content-type"), "application/problem+json");
        assert_valid("problem", &json!({"$ref": "#/components/schemas/Problem"}), &response.json());
    }
}

#[track_caller]
fn assert_valid(key: &str, schema: &Value, body: &Value) {
    let mut validators = VALIDATORS.lock().expect("lock");
    let validator = validators.entry(key.to_owned()).or_insert_with(|| {
        let mut schema = schema.clone();
        schema["components"] = DOCUMENT["components"].clone();
        let options = jsonschema::options().should_validate_formats(true);
        Arc::new(options.build(&schema).expect("a JSON schema"))
    });
    let validator = validator.clone();
    drop(validators);
    let errors: Vec<_> = validator.iter_errors(body).map(|error| error.to_string()).collect();
    assert!(errors.is_empty(), "{key} is not as documented: {errors:?} in {body}");
}
