//! Gives every JSON body of a response an example as a whole, and every parameter one.
//!
//! Tools that put an example together from its members also include optional ones, such as the age of stale data, and
//! then show an unusual response as the usual one.

use serde_json::{Map, Value, json};
use utoipa::openapi::{
    OpenApi, RefOr,
    path::{Parameter, ParameterIn},
};

/// The default of `PUBLIC_URL`.
pub const EXAMPLE_URL: &str = "http://127.0.0.1:8080";
pub const EXAMPLE_ID: &str = "0199f3b0-5b0a-7cc0-b1c5-4cbbf3a3b0f1";
/// Of a time with nanoseconds and an offset.
pub const MAX_TIME_LENGTH: usize = 35;
const JSON: &str = "application/json";

/// Composes an example for each JSON body of a response that has none of its own.
pub fn add_body_examples(document: &mut OpenApi) {
    let root = serde_json::to_value(&*document).expect("the document serialises");
    for item in document.paths.paths.values_mut() {
        let methods = [&mut item.get, &mut item.post, &mut item.put, &mut item.patch, &mut item.delete];
        for operation in methods.into_iter().flatten() {
            for response in operation.responses.responses.values_mut() {
                if let RefOr::T(response) = response
                    && let Some(RefOr::T(content)) = response.content.get_mut(JSON)
                    && content.example.is_none()
                {
                    let schema = serde_json::to_value(&content.schema).expect("a schema serialises");
                    content.example = compose(&schema, &root).ok();
                }
            }
        }
    }
}

/// Puts an example together from those of the members. An optional member is included if it has an example.
///
/// # Errors
/// Names the member that needs an example and has none.
pub(super) fn compose(schema: &Value, root: &Value) -> Result<Value, String> {
    if let Some(target) = schema["$ref"].as_str() {
        let found = root.pointer(target.trim_start_matches('#')).ok_or_else(|| target.to_owned())?;
        return compose(found, root);
    }
    if let Some(example) = own_example(schema) {
        return Ok(example);
    }
    if let Some(either) = schema["oneOf"].as_array() {
        let first = either.iter().find(|one| one["type"] != "null").unwrap_or(&Value::Null);
        return compose(first, root);
    }
    if let Some(all) = schema["allOf"].as_array() {
        let mut members = Map::new();
        for part in all {
            if let Value::Object(part) = compose(part, root)? {
                members.extend(part);
            }
        }
        return Ok(Value::Object(members));
    }
    let is = |name: &str| {
        schema["type"] == name || schema["type"].as_array().is_some_and(|all| all.contains(&name.into()))
    };
    match schema["format"].as_str() {
        _ if is("object") => compose_object(schema, root),
        _ if is("array") => Ok(json!([compose(&schema["items"], root)?])),
        Some("uuid") => Ok(EXAMPLE_ID.into()),
        _ if is("null") => Ok(Value::Null),
        _ => Err(String::new()),
    }
}

fn compose_object(schema: &Value, root: &Value) -> Result<Value, String> {
    let required = schema["required"].as_array().cloned().unwrap_or_default();
    let mut members = Map::new();
    for (name, property) in schema["properties"].as_object().into_iter().flatten() {
        if required.contains(&name.as_str().into()) || own_example(property).is_some() {
            let value = compose(property, root).map_err(|inner| format!(".{name}{inner}"))?;
            members.insert(name.clone(), value);
        }
    }
    Ok(Value::Object(members))
}

fn own_example(schema: &Value) -> Option<Value> {
    let first = |name: &str| schema[name].as_array().and_then(|all| all.first());
    schema.get("example").or_else(|| first("examples")).or_else(|| first("enum")).cloned()
}

/// Adds the example of a parameter that many operations share, and puts those of optional ones where tools do not fill
/// them in: Swagger UI would send the `example` of a parameter by default.
pub fn complete_parameter(parameter: &mut Parameter) {
    let mut json = serde_json::to_value(&*parameter).expect("a parameter serialises");
    if let Some(length) = max_length(parameter, &json["schema"]) {
        json["schema"]["maxLength"] = length.into();
    }
    let example = json.get("example").cloned().or_else(|| shared_example(parameter, &json["schema"]));
    match example {
        None => {}
        Some(example) if json["required"] == true => json["example"] = example,
        Some(example) => {
            json.as_object_mut().expect("an object").remove("example");
            json["schema"]["examples"] = json!([example]);
        }
    }
    *parameter = serde_json::from_value(json).expect("it was a parameter before");
}

/// The length of a parameter that its form or the names of the resources limit.
fn max_length(parameter: &Parameter, schema: &Value) -> Option<usize> {
    let is_limited = schema.get("maxLength").is_some() || schema.get("enum").is_some();
    if schema["type"] != "string" || is_limited || parameter.parameter_in == ParameterIn::Header {
        return None;
    }
    match schema["format"].as_str() {
        Some("uuid") => Some(36),
        Some("date-time") => Some(MAX_TIME_LENGTH),
        _ if parameter.name == "cursor" => Some(22),
        _ if parameter.parameter_in == ParameterIn::Path => Some(100),
        _ => None,
    }
}

fn shared_example(parameter: &Parameter, schema: &Value) -> Option<Value> {
    let text = match (&parameter.parameter_in, parameter.name.as_str()) {
        (ParameterIn::Header, "If-Match") => "\"3\"",
        (ParameterIn::Header, "If-None-Match") => "\"4268866ddcdf027c\"",
        (ParameterIn::Header, "Idempotency-Key") => "4f6f1a52-3f3c-4d0b-9d0e-0c6f2b9a7d11",
        (ParameterIn::Header, "Last-Event-ID") => "17",
        (ParameterIn::Query, "limit") => return schema.get("default").cloned(),
        (ParameterIn::Query, "q") => "ada",
        (ParameterIn::Query, "email") => "ada@example.com",
        (ParameterIn::Query, "cursor") => "AZnzsFsKfMCxxUy786Ow8Q",
        _ if schema["format"] == "uuid" => EXAMPLE_ID,
        _ if schema["format"] == "date-time" => "2026-11-19T00:00:00Z",
        _ if schema["type"] == "boolean" => return Some(true.into()),
        _ if schema["enum"].is_array() => return schema["enum"].as_array()?.first().cloned(),
        _ => return None,
    };
    Some(text.into())
}
