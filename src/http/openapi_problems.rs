//! Describes the problems that each response of an operation can be.
//!
//! `Problem` itself leaves `code` open, since later versions may add codes. Each code has a schema that narrows it, and the
//! schema of a response lists those that the operation answers with this status, so that clients can tell them apart by
//! type. The names in generated clients stay the same when an operation gets another code.

use serde_json::Value;
use utoipa::openapi::{
    Components, Ref, RefOr,
    content::ContentBuilder,
    example::ExampleBuilder,
    response::Response,
    schema::{AllOfBuilder, ObjectBuilder, OneOfBuilder, Schema, Type},
};

use super::{
    kind::{self, Example, Kind},
    openapi_examples::EXAMPLE_URL,
    problem::{Choice, EXAMPLE_REQUEST_ID, FieldError, ProblemBody},
};

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
    let schema = match kinds.as_slice() {
        [only] => reference(only),
        kinds => {
            let any = kinds.iter().fold(OneOfBuilder::new(), |any, kind| any.item(reference(kind)));
            RefOr::T(any.build().into())
        }
    };
    let mut content = ContentBuilder::new().schema(Some(schema));
    for kind in kinds {
        components.schemas.insert(schema_name(kind), RefOr::T(narrowed(kind)));
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

fn reference(kind: &Kind) -> RefOr<Schema> {
    Ref::from_schema_name(schema_name(kind)).into()
}

/// `Problem` with this code only.
fn narrowed(kind: &Kind) -> Schema {
    let code = ObjectBuilder::new().schema_type(Type::String).enum_values(Some([kind.code]));
    let narrow = ObjectBuilder::new().property("code", code).required("code");
    AllOfBuilder::new().item(Ref::from_schema_name("Problem")).item(narrow).build().into()
}

/// `NotFoundProblem` for `not-found`.
fn schema_name(kind: &Kind) -> String {
    let capitalised = |word: &str| {
        let mut letters = word.chars();
        letters
            .next()
            .map_or_else(String::new, |first| first.to_ascii_uppercase().to_string() + letters.as_str())
    };
    kind.code.split('-').map(capitalised).collect::<String>() + "Problem"
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
