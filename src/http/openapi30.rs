//! Rewrites the document from OpenAPI 3.1 to 3.0 for generators and gateways that do not read 3.1.
//!
//! Both describe the same API. In 3.0 every error is a plain `Problem`: most of its generators know one type of error for
//! an operation, and its descriptions still name the codes.

use std::collections::HashMap;

use serde_json::{Map, Value, json};

const REFERENCE: &str = "$ref";
const SCHEMAS: &str = "#/components/schemas/";
const PROBLEM: &str = "#/components/schemas/Problem";
/// Members with values of the API, which must stay as they are.
const DATA: [&str; 4] = ["example", "default", "enum", "const"];

/// Rewrites a whole document.
pub fn to_openapi_30(mut document: Value) -> Value {
    document["openapi"] = "3.0.3".into();
    if let Some(license) = document["info"]["license"].as_object_mut()
        && let Some(Value::String(name)) = license.remove("identifier")
    {
        license.insert("url".into(), format!("https://spdx.org/licenses/{name}.html").into());
    }
    let mut named = Schemas::new();
    if let Some(schemas) = document["components"]["schemas"].as_object() {
        named.extend(schemas.iter().map(|(name, schema)| (format!("{SCHEMAS}{name}"), schema.clone())));
    }
    rewrite(&mut document, &named);
    remove_unused(&mut document);
    document
}

/// Removes the schemas to which nothing refers any more: those of single problem codes, those that were copied into nullable
/// ones, and those to which only such schemas refer.
fn remove_unused(document: &mut Value) {
    loop {
        let text = document.to_string();
        let Some(schemas) = document["components"]["schemas"].as_object_mut() else {
            return;
        };
        let before = schemas.len();
        schemas.retain(|name, _| text.contains(&format!("\"{SCHEMAS}{name}\"")));
        if schemas.len() == before {
            return;
        }
    }
}

/// The named schemas, by reference.
type Schemas = HashMap<String, Value>;

fn rewrite(node: &mut Value, named: &Schemas) {
    match node {
        Value::Array(items) => items.iter_mut().for_each(|item| rewrite(item, named)),
        Value::Object(object) => {
            rewrite_object(object, named);
            for (name, child) in object.iter_mut() {
                match child {
                    // The names of properties are not keywords.
                    Value::Object(properties) if name == "properties" => {
                        properties.values_mut().for_each(|property| rewrite(property, named));
                    }
                    // Named examples hold values.
                    Value::Object(_) if name == "examples" => {}
                    _ if DATA.contains(&name.as_str()) => {}
                    _ => rewrite(child, named),
                }
            }
        }
        _ => {}
    }
}

fn rewrite_object(object: &mut Map<String, Value>, named: &Schemas) {
    if let Some(body) = object.get_mut("application/problem+json") {
        body["schema"] = json!({ REFERENCE: PROBLEM });
    }
    remove_null_variant(object, named);
    wrap_reference(object);
    remove_null_type(object);
    // A list of examples is one of a schema; a map is one of a body.
    if let Some(Value::Array(_)) = object.get("examples")
        && let Some(Value::Array(mut all)) = object.remove("examples")
        && !all.is_empty()
    {
        object.entry("example").or_insert(all.remove(0));
    }
    if let Some(value) = object.remove("const") {
        object.insert("enum".into(), json!([value]));
    }
    for (exclusive, inclusive) in [("exclusiveMinimum", "minimum"), ("exclusiveMaximum", "maximum")] {
        if object.get(exclusive).is_some_and(Value::is_number)
            && let Some(bound) = object.insert(exclusive.into(), true.into())
        {
            object.insert(inclusive.into(), bound);
        }
    }
    object.remove("propertyNames");
}

/// In 3.0, what stands beside a reference is ignored.
fn wrap_reference(object: &mut Map<String, Value>) {
    let is_schema = object.get(REFERENCE).and_then(Value::as_str).is_some_and(|to| to.starts_with(SCHEMAS));
    if object.len() > 1
        && let Some(target) = object.remove(REFERENCE)
    {
        if is_schema {
            object.insert("allOf".into(), json!([{ REFERENCE: target }]));
        } else {
            *object = Map::from_iter([(REFERENCE.to_owned(), target)]);
        }
    }
}

fn remove_null_type(object: &mut Map<String, Value>) {
    let Some(Value::Array(types)) = object.get_mut("type") else {
        return;
    };
    let before = types.len();
    types.retain(|name| name != "null");
    let is_nullable = types.len() < before;
    if let [only] = types.as_slice() {
        let only = only.clone();
        object.insert("type".into(), only);
    }
    if is_nullable {
        make_nullable(object);
    }
}

/// In 3.0, `nullable` needs a type beside it.
fn remove_null_variant(object: &mut Map<String, Value>, named: &Schemas) {
    let Some(Value::Array(variants)) = object.get_mut("oneOf") else {
        return;
    };
    let before = variants.len();
    variants.retain(|variant| variant["type"] != "null");
    if variants.len() == before || variants.len() != 1 {
        return;
    }
    let Some(Value::Object(mut only)) = variants.pop() else {
        return;
    };
    object.remove("oneOf");
    // A schema that is referred to does not become nullable by what stands beside the reference.
    let target = only.remove(REFERENCE);
    if let Some(Value::Object(schema)) = target.as_ref().and_then(|target| named.get(target.as_str()?)) {
        for (name, value) in schema {
            only.entry(name.clone()).or_insert_with(|| value.clone());
        }
    }
    for (name, value) in only {
        object.entry(name).or_insert(value);
    }
    make_nullable(object);
}

fn make_nullable(object: &mut Map<String, Value>) {
    object.insert("nullable".into(), true.into());
    // The values of an enumeration include null.
    if let Some(Value::Array(values)) = object.get_mut("enum")
        && !values.contains(&Value::Null)
    {
        values.push(Value::Null);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rewritten(mut schema: Value) -> Value {
        let named = Schemas::from([
            ("#/components/schemas/Social".into(), json!({"type": "object", "description": "s"})),
            ("#/components/schemas/Reason".into(), json!({"type": "string", "enum": ["a"]})),
        ]);
        rewrite(&mut schema, &named);
        schema
    }

    #[test]
    fn null_becomes_nullable() {
        assert_eq!(
            rewritten(json!({"type": ["string", "null"], "examples": ["a", "b"]})),
            json!({"type": "string", "nullable": true, "example": "a"})
        );
        let reference = json!({"$ref": "#/components/schemas/Social"});
        assert_eq!(
            rewritten(json!({"oneOf": [{"type": "null"}, reference], "description": "d"})),
            json!({"type": "object", "nullable": true, "description": "d"})
        );
        let reason = json!({"$ref": "#/components/schemas/Reason", "description": "d"});
        assert_eq!(
            rewritten(json!({"oneOf": [{"type": "null"}, reason]})),
            json!({"type": "string", "enum": ["a", null], "nullable": true, "description": "d"})
        );
        assert_eq!(
            rewritten(json!({"oneOf": [{"type": "null"}, {"type": "string", "enum": ["a"]}]})),
            json!({"type": "string", "enum": ["a", null], "nullable": true})
        );
        assert_eq!(
            rewritten(json!({"type": ["string", "null"], "enum": ["a"]})),
            json!({"type": "string", "nullable": true, "enum": ["a", null]})
        );
    }

    #[test]
    fn values_and_names_of_properties_are_kept() {
        for same in [
            json!({"example": {"type": ["a", "null"], "const": 1}}),
            json!({"default": {"$ref": "x", "a": 1}}),
            json!({"examples": {"one": {"value": {"type": ["a", "null"]}}}}),
            json!({"properties": {"examples": {"type": "string"}, "const": {"type": "string"}}}),
        ] {
            assert_eq!(rewritten(same.clone()), same);
        }
    }

    #[test]
    fn references_lose_what_stands_beside_them_only_where_it_cannot_be_kept() {
        let target = "#/components/schemas/Coin";
        assert_eq!(rewritten(json!({"$ref": target})), json!({"$ref": target}));
        assert_eq!(
            rewritten(json!({"$ref": target, "description": "d"})),
            json!({"allOf": [{"$ref": target}], "description": "d"})
        );
        let header = json!({"$ref": "#/components/headers/ETag", "description": "d"});
        assert_eq!(rewritten(header), json!({"$ref": "#/components/headers/ETag"}));
    }

    #[test]
    fn every_problem_is_a_plain_problem() {
        let narrowed = json!({"schema": {"oneOf": [{"$ref": "#/components/schemas/NotFoundProblem"}]}});
        assert_eq!(
            rewritten(json!({"application/problem+json": narrowed})),
            json!({"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}})
        );
        let narrow = json!({"allOf": [{"$ref": PROBLEM}, {"properties": {"code": {"enum": ["not-found"]}}}]});
        let report = "#/components/schemas/ProblemReport";
        let schemas = json!({"NotFoundProblem": narrow, "Unused": {"type": "object"}, "Problem": {"type": "object"}, "ProblemReport": {"type": "object"}});
        let document = to_openapi_30(
            json!({"components": {"schemas": schemas}, "paths": [{"$ref": PROBLEM}, {"$ref": report}]}),
        );
        let names: Vec<_> = document["components"]["schemas"].as_object().unwrap().keys().collect();
        assert_eq!(names, ["Problem", "ProblemReport"]);
    }

    #[test]
    fn bounds_and_constants_take_their_older_form() {
        assert_eq!(
            rewritten(json!({"type": "number", "exclusiveMinimum": 0, "const": 1})),
            json!({"type": "number", "minimum": 0, "exclusiveMinimum": true, "enum": [1]})
        );
    }
}
