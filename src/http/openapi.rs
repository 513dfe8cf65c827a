//! Adds to the generated document what all operations have in common, so that an endpoint documents only what is
//! specific to it.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{
        Components, OpenApi, Ref, RefOr, Required,
        header::{Header, HeaderBuilder},
        path::{Operation, Parameter, ParameterIn},
        request_body::RequestBody,
        response::Response,
        schema::{
            AdditionalProperties, KnownFormat, Object, ObjectBuilder, Schema, SchemaFormat, SchemaType, Type,
        },
        security::SecurityRequirement,
    },
};

use super::{
    kind::{self, Kind},
    openapi_examples::{EXAMPLE_ID, EXAMPLE_URL, MAX_TIME_LENGTH, add_body_examples, complete_parameter},
    openapi_problems::add_problem,
    problem::{EXAMPLE_REQUEST_ID, ProblemBody},
};

const EXAMPLE_TIME: &str = "2026-11-20T09:30:00Z";

/// A body that is no text.
#[derive(ToSchema)]
#[schema(value_type = String, format = Binary)]
#[expect(dead_code, reason = "only documented")]
pub struct Binary(Vec<u8>);

/// Adds the problems of extractors and limits, the body, headers and examples of every problem, and rules that
/// hold for all schemas.
pub fn complete(document: &mut OpenApi) {
    let components = document.components.get_or_insert_default();
    let mut schemas: Vec<(String, RefOr<Schema>)> = Vec::new();
    <ProblemBody as ToSchema>::schemas(&mut schemas);
    schemas.push(("Problem".into(), ProblemBody::schema()));
    components.schemas.extend(schemas);
    components.schemas.values_mut().for_each(complete_schema);
    add_headers(components);
    for item in document.paths.paths.values_mut() {
        let methods = [&mut item.get, &mut item.post, &mut item.put, &mut item.patch, &mut item.delete];
        for operation in methods.into_iter().flatten() {
            complete_operation(operation, components);
        }
    }
    add_body_examples(document);
}

fn complete_schema(schema: &mut RefOr<Schema>) {
    match schema {
        RefOr::T(Schema::Object(object)) => complete_object(object),
        RefOr::T(Schema::AllOf(all)) => all.items.iter_mut().for_each(complete_schema),
        RefOr::T(_) | RefOr::Ref(_) => {}
    }
}

fn complete_object(object: &mut Object) {
    // Only schemas of requests refuse unknown members. Responses have all their members: a missing value is null.
    let is_request =
        matches!(object.additional_properties.as_deref(), Some(AdditionalProperties::FreeForm(false)));
    for (name, property) in &mut object.properties {
        if !is_request && is_nullable(property) && !object.required.contains(name) {
            object.required.push(name.clone());
        }
        if let RefOr::T(Schema::Object(property)) = property
            && property.schema_type == SchemaType::Type(Type::Integer)
            && property.format.is_none()
        {
            property.format = Some(SchemaFormat::KnownFormat(KnownFormat::Int64));
        }
        if let RefOr::T(Schema::Object(property)) = property
            && is_request
            && property.max_length.is_none()
            && property.format.as_ref().is_some_and(is_time)
        {
            property.max_length = Some(MAX_TIME_LENGTH);
        }
        if let RefOr::T(Schema::Object(property)) = property
            && property.example.is_none()
            && property.format.as_ref().is_some_and(is_time)
        {
            property.example = Some(EXAMPLE_TIME.into());
        }
    }
}

fn is_time(format: &SchemaFormat) -> bool {
    serde_json::to_value(format).is_ok_and(|name| name == "date-time")
}

fn is_nullable(schema: &RefOr<Schema>) -> bool {
    match schema {
        RefOr::T(Schema::Object(Object { schema_type: SchemaType::Array(types), .. })) => {
            types.contains(&Type::Null)
        }
        // Another schema, or null.
        RefOr::T(Schema::OneOf(either)) => either.items.iter().any(is_null),
        _ => false,
    }
}

fn is_null(schema: &RefOr<Schema>) -> bool {
    matches!(schema, RefOr::T(Schema::Object(object)) if object.schema_type == SchemaType::Type(Type::Null))
}

/// Describes headers that several operations have.
fn add_headers(components: &mut Components) {
    let text = || ObjectBuilder::new().schema_type(Type::String);
    let uri = SchemaFormat::Custom("uri".into());
    let location = format!("{EXAMPLE_URL}/api/v1/users/{EXAMPLE_ID}");
    let int64 = Some(SchemaFormat::KnownFormat(KnownFormat::Int64));
    let seconds = ObjectBuilder::new().schema_type(Type::Integer).format(int64).minimum(Some(1));
    let headers: [(&str, &str, ObjectBuilder, Value); 7] = [
        ("ETag", "Entity tag of the version, for `If-Match`.", text(), json!("\"3\"")),
        ("Location", "Address of the created resource.", text().format(Some(uri)), json!(location)),
        (
            "RateLimit",
            "Requests that the client has left of the limit with this name, and the seconds until it has all again \
             (draft-ietf-httpapi-ratelimit-headers). Absent if the request was not counted.",
            text(),
            json!(r#""user";r=299;t=1"#),
        ),
        (
            "RateLimit-Policy",
            "The limit with this name: requests in a window of seconds. Absent if the request was not counted.",
            text(),
            json!(r#""user";q=300;w=30"#),
        ),
        ("Retry-After", "Seconds to wait before repeating the request.", seconds, json!(1)),
        ("WWW-Authenticate", "How to authenticate (RFC 6750).", text(), json!(r#"Bearer realm="mintage""#)),
        (
            "X-Request-Id",
            "Id of the request, as in the server's log. A valid one that the client sends is kept.",
            text(),
            json!(EXAMPLE_REQUEST_ID),
        ),
    ];
    for (name, description, schema, example) in headers {
        let header = HeaderBuilder::new().schema(Some(schema)).description(Some(description));
        components.headers.insert(name.into(), header.example(Some(example)).build().into());
    }
}

fn complete_operation(operation: &mut Operation, components: &mut Components) {
    let nothing = SecurityRequirement::default();
    let is_public =
        operation.security.as_ref().is_some_and(|all| all.iter().all(|requirement| *requirement == nothing));
    if is_public {
        // An empty list says "none" to every tool; `[{}]` says "optional".
        operation.security = Some(Vec::new());
    }
    let mut places = Vec::new();
    // What a request cannot do without comes first, as people and generated clients expect it.
    operation.parameters.iter_mut().for_each(|all| all.sort_by_key(is_optional));
    for parameter in operation.parameters.iter_mut().flatten() {
        if let RefOr::T(parameter) = parameter {
            remove_null(parameter);
            describe_header(parameter);
            complete_parameter(parameter);
            // The server ignores a value of these that it does not know.
            if !matches!(parameter.name.as_str(), "If-None-Match" | "Last-Event-ID") {
                places.push(parameter.parameter_in.clone());
            }
        }
    }
    if let Some(body) = &mut operation.request_body {
        make_body_optional(body);
    }
    let general = general_problems(is_public, body_of(operation), &places);
    let responses = &mut operation.responses.responses;
    for (status, kinds) in general {
        let response = responses.entry(status.to_string()).or_insert_with(|| Response::default().into());
        if let RefOr::T(response) = response {
            add_kinds(status, response, &kinds);
        }
    }
    let is_limited = responses.contains_key("429");
    for (status, response) in responses {
        if let RefOr::T(response) = response {
            if is_limited && !matches!(status.as_str(), "500" | "503") {
                for name in ["RateLimit", "RateLimit-Policy"] {
                    response.headers.insert(name.into(), RefOr::T(Header::default()));
                }
            }
            complete_response(status, response, components);
        }
    }
}

/// Adds the general problems to those that the operation names.
fn add_kinds(status: u16, response: &mut Response, kinds: &[&Kind]) {
    // An operation that names problems of tokens, or of overload, names all of them.
    if matches!(status, 401 | 503) && !response.description.is_empty() {
        return;
    }
    let is_new = |kind: &&&Kind| !response.description.contains(&format!("`{}`", kind.code));
    let text: Vec<_> =
        kinds.iter().filter(is_new).map(|kind| format!("`{}`: {}", kind.code, kind.title)).collect();
    if !text.is_empty() {
        let own = if response.description.is_empty() {
            String::new()
        } else {
            format!("{} ", response.description)
        };
        response.description = format!("{own}{}.", text.join("; "));
    }
}

/// The body of a request.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Body {
    Missing,
    /// `application/x-www-form-urlencoded`, of the endpoints of OAuth, which has errors of its own.
    Form,
    Json,
    /// Pictures, and files of users.
    File,
}

fn body_of(operation: &Operation) -> Body {
    match &operation.request_body {
        None => Body::Missing,
        Some(RefOr::T(body)) if body.content.contains_key("application/x-www-form-urlencoded") => Body::Form,
        Some(RefOr::T(body)) if !body.content.contains_key("application/json") => Body::File,
        Some(_) => Body::Json,
    }
}

fn is_optional(parameter: &RefOr<Parameter>) -> bool {
    matches!(parameter, RefOr::T(parameter) if parameter.required != Required::True)
}

/// Removes `null` from the types of a parameter: one without a value is left out.
fn remove_null(parameter: &mut Parameter) {
    if let Some(RefOr::T(Schema::Object(Object { schema_type, .. }))) = &mut parameter.schema
        && let SchemaType::Array(types) = schema_type
    {
        types.retain(|one| *one != Type::Null);
        if let [only] = types.as_slice() {
            *schema_type = SchemaType::Type(only.clone());
        }
    }
}

/// Says what the values of headers look like; another one is a 400.
fn describe_header(parameter: &mut Parameter) {
    let pattern = match parameter.name.as_str() {
        // RFC 9110, section 13.1.1.
        "If-Match" => r#"^(\*|(W/)?"[!#-~]*"( *, *(W/)?"[!#-~]*")*)$"#,
        // A string of RFC 8941, or the same without its quotes.
        "Idempotency-Key" => r#"^("[!#-~]{1,255}"|[!#-~]{1,255})$"#,
        _ => return,
    };
    if let Some(RefOr::T(Schema::Object(schema))) = &mut parameter.schema {
        schema.pattern = Some(pattern.into());
    }
}

/// Makes an optional body one that can be left out, not one that can be `null`.
fn make_body_optional(body: &mut RefOr<RequestBody>) {
    let RefOr::T(body) = body else {
        return;
    };
    for content in body.content.values_mut() {
        if let RefOr::T(content) = content
            && let Some(RefOr::T(Schema::OneOf(either))) = &content.schema
        {
            content.schema = either.items.iter().find(|item| matches!(item, RefOr::Ref(_))).cloned();
            body.required = Some(Required::False);
        }
    }
}

/// The problems of extractors and limits, by status.
fn general_problems(
    is_public: bool,
    body: Body,
    parameters: &[ParameterIn],
) -> BTreeMap<u16, Vec<&'static Kind>> {
    let mut kinds = vec![&kind::INTERNAL_ERROR];
    if !is_public {
        kinds.extend([
            &kind::MISSING_TOKEN,
            &kind::INVALID_TOKEN,
            &kind::TOKEN_EXPIRED,
            &kind::TOKEN_REVOKED,
            &kind::INVALID_API_KEY,
            &kind::INSUFFICIENT_SCOPE,
            &kind::TOO_MANY_REQUESTS,
        ]);
    }
    if body != Body::Missing {
        kinds.extend([&kind::REQUEST_TIMEOUT, &kind::PAYLOAD_TOO_LARGE]);
    }
    match body {
        Body::Missing | Body::Form => {}
        Body::Json => {
            kinds.extend([&kind::MALFORMED_JSON, &kind::UNSUPPORTED_MEDIA_TYPE, &kind::VALIDATION_FAILED]);
        }
        Body::File => kinds.push(&kind::UNSUPPORTED_MEDIA_TYPE),
    }
    if !is_public || body != Body::Missing {
        kinds.push(&kind::UNAVAILABLE);
    }
    for place in parameters {
        match place {
            ParameterIn::Path => kinds.push(&kind::MALFORMED_PATH),
            ParameterIn::Query => kinds.extend([&kind::MALFORMED_QUERY, &kind::VALIDATION_FAILED]),
            ParameterIn::Header => kinds.push(&kind::MALFORMED_HEADER),
            _ => {}
        }
    }
    let mut by_status: BTreeMap<u16, Vec<&'static Kind>> = BTreeMap::new();
    for kind in kinds {
        let same = by_status.entry(kind.status).or_default();
        if same.iter().all(|known| known.code != kind.code) {
            same.push(kind);
        }
    }
    by_status
}

fn complete_response(status: &str, response: &mut Response, components: &mut Components) {
    let general = match status {
        "401" => Some("WWW-Authenticate"),
        "429" | "503" => Some("Retry-After"),
        _ => None,
    };
    for name in general.into_iter().chain(["X-Request-Id"]) {
        response.headers.entry(name.into()).or_insert_with(|| RefOr::T(Header::default()));
    }
    for (name, header) in &mut response.headers {
        if let RefOr::T(particular) = header
            && components.headers.contains_key(name)
        {
            let mut general = Ref::new(format!("#/components/headers/{name}"));
            general.description = particular.description.take().unwrap_or_default();
            *header = RefOr::Ref(general);
        }
    }
    add_problem(status, response, components);
}
