//! Completes the generated document with what every operation has in common, so that an
//! endpoint only states what is particular to it.

use utoipa::{
    PartialSchema, ToSchema,
    openapi::{
        OpenApi, Ref, RefOr, ResponseBuilder,
        content::ContentBuilder,
        path::{Operation, ParameterIn},
        response::Response,
        schema::Schema,
    },
};

use super::ProblemBody;

/// Adds the problems that extractors and bounds can answer, and the problem body to every error.
pub fn complete(document: &mut OpenApi) {
    let components = document.components.get_or_insert_default();
    let mut schemas: Vec<(String, RefOr<Schema>)> = Vec::new();
    <ProblemBody as ToSchema>::schemas(&mut schemas);
    schemas.push(("Problem".into(), ProblemBody::schema()));
    components.schemas.extend(schemas);
    for item in document.paths.paths.values_mut() {
        let methods = [&mut item.get, &mut item.post, &mut item.put, &mut item.patch, &mut item.delete];
        for operation in methods.into_iter().flatten() {
            complete_operation(operation);
        }
    }
}

fn complete_operation(operation: &mut Operation) {
    let is_public = operation.security.as_ref().is_some_and(|all| {
        all.iter().all(|requirement| *requirement == utoipa::openapi::SecurityRequirement::default())
    });
    if is_public {
        // An empty list says "none" to every tool; `[{}]` says "optional".
        operation.security = Some(Vec::new());
    } else {
        add(operation, "401", "`missing-token`, `invalid-token`, `token-expired`, `token-revoked`.");
        add(operation, "503", "`unavailable`: try again after `Retry-After` seconds.");
    }
    if operation.request_body.is_some() {
        add(operation, "400", "`malformed-json`.");
        add(operation, "408", "`request-timeout`.");
        add(operation, "413", "`payload-too-large`: more than 64 KiB.");
        add(operation, "415", "`unsupported-media-type`: not `application/json`.");
        add(operation, "422", "`validation-failed`: `errors` names each field.");
        add(operation, "503", "`unavailable`, `overloaded`: try again after `Retry-After` seconds.");
    }
    let parameters = operation.parameters.as_deref().unwrap_or_default();
    let has = |place: &ParameterIn| {
        parameters.iter().any(|one| match one {
            RefOr::T(one) => one.parameter_in == *place,
            RefOr::Ref(_) => false,
        })
    };
    let (path, query) = (has(&ParameterIn::Path), has(&ParameterIn::Query));
    if query {
        add(operation, "400", "`malformed-query`: `errors` names the parameter.");
        add(operation, "422", "`validation-failed`: `errors` names each parameter.");
    } else if path {
        add(operation, "400", "`malformed-path`.");
    }
    add(operation, "500", "`internal-error`: the cause is in the log under the `request_id`.");
    for (status, response) in &mut operation.responses.responses {
        if let RefOr::T(response) = response
            && status.as_str() >= "400"
        {
            describe_problem(response);
        }
    }
}

fn add(operation: &mut Operation, status: &str, description: &str) {
    let response = ResponseBuilder::new().description(description).build();
    let responses = &mut operation.responses.responses;
    responses.entry(status.to_owned()).or_insert_with(|| response.into());
}

fn describe_problem(response: &mut Response) {
    let content = ContentBuilder::new().schema(Some(Ref::from_schema_name("Problem"))).build();
    response.content.entry("application/problem+json".into()).or_insert(content.into());
}
