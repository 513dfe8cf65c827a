//! Describes the problems that each response of an operation can be.
//!
//! `Problem` itself leaves `code` open, since later versions may add codes. The schema of a response narrows it to those
//! that the operation answers with this status, so that clients can tell them apart by type.

use serde_json::Value;
use utoipa::openapi::{
    Components, Ref, RefOr,
    content::ContentBuilder,
    example::ExampleBuilder,
    response::Response,
    schema::{AllOfBuilder, ObjectBuilder, Schema, Type},
};

use super::{
    kind::{self, Example, Kind},
    openapi_examples::EXAMPLE_URL,
    problem::{Choice, EXAMPLE_REQUEST_ID, FieldError, ProblemBody},
};

/// Codes that a name of a schema can list and still be read.
const MAX_NAMED: usize = 3;

/// Adds body and examples to a response whose description names the codes of problems.
pub fn add_problem(status: &str, response: &mut Response, components: &mut Components) {
    // Errors of OAuth have a form of their own.
    if status >= "400" && response.content.contains_key("application/json") {
        return;
    }
    let kinds = named(status, response);
    if status < "400" && kinds.is_empty() {
        return;
    }
    let name = schema_name(status, &kinds);
    let mut content = ContentBuilder::new().schema(Some(Ref::from_schema_name(&name)));
    let schema = RefOr::T(narrowed(&kinds));
    let before = components.schemas.insert(name, schema.clone());
    debug_assert!(before.is_none_or(|before| before == schema), "two sets of codes have one name");
    for kind in kinds {
        let example = ExampleBuilder::new().summary(kind.title).value(Some(example(kind)));
        components.examples.insert(kind.code.into(), example.into());
        let reference = Ref::new(format!("#/components/examples/{}", kind.code));
        content = content.examples_from_iter([(kind.code, RefOr::Ref(reference))]);
    }
    response.content.insert("application/problem+json".into(), content.build().into());
}

/// The problems whose codes the description of a response contains.
fn named(status: &str, response: &Response) -> Vec<&'static Kind> {
    let is_named = |kind: &&Kind| {
        kind.status.to_string() == status && response.description.contains(&format!("`{}`", kind.code))
    };
    kind::ALL.iter().copied().filter(is_named).collect()
}

/// `Problem` with these codes only.
fn narrowed(kinds: &[&Kind]) -> Schema {
    let codes = kinds.iter().map(|kind| kind.code);
    let code = ObjectBuilder::new().schema_type(Type::String).enum_values(Some(codes));
    let narrow = ObjectBuilder::new().property("code", code).required("code");
    AllOfBuilder::new().item(Ref::from_schema_name("Problem")).item(narrow).build().into()
}

/// `InvalidCodeOrValidationFailedProblem`, or `Problem401` for many codes.
fn schema_name(status: &str, kinds: &[&Kind]) -> String {
    if kinds.len() > MAX_NAMED {
        return format!("Problem{status}");
    }
    let names: Vec<String> = kinds.iter().map(|kind| pascal_case(kind.code)).collect();
    names.join("Or") + "Problem"
}

fn pascal_case(code: &str) -> String {
    let capitalised = |word: &str| {
        let mut letters = word.chars();
        letters
            .next()
            .map_or_else(String::new, |first| first.to_ascii_uppercase().to_string() + letters.as_str())
    };
    code.split('-').map(capitalised).collect()
}

fn example(kind: &Kind) -> Value {
    serde_json::to_value(example_at(EXAMPLE_URL, kind)).expect("strings and numbers serialise")
}

/// An example of the problem, on the server at `url`.
pub(super) fn example_at(url: &str, kind: &Kind) -> ProblemBody {
    let (mut errors, mut choices) = (Vec::new(), Vec::new());
    match kind.example {
        Example::Plain => {}
        Example::Field(pointer, code, message) => {
            errors.push(FieldError { pointer: pointer.into(), code: code.into(), message: message.into() });
        }
        Example::Choices(all) => choices.extend(all.iter().map(|(id, title, href)| Choice {
            id: *id,
            title: (*title).into(),
            href: (*href).into(),
        })),
    }
    ProblemBody {
        type_uri: format!("{url}/problems/{}", kind.code),
        title: kind.title,
        status: kind.status,
        detail: errors.first().map(FieldError::to_string),
        code: kind.code,
        request_id: EXAMPLE_REQUEST_ID.into(),
        errors,
        choices,
    }
}
