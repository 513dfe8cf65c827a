//! Answers requests without a route: 404, or 405 with `Allow` where the path has other methods.

use std::sync::Arc;

use actix_web::{
    HttpRequest, HttpResponse, ResponseError,
    dev::ResourceDef,
    http::{Method, header},
    web,
};
use utoipa::openapi::{OpenApi, PathItem};

use super::{kind, problem::Problem};

/// The paths of the OpenAPI document with their methods.
#[derive(Clone)]
pub struct Fallback(Arc<Vec<(ResourceDef, String)>>);

impl Fallback {
    pub fn new(document: &OpenApi) -> Self {
        let paths = document.paths.paths.iter();
        let known = paths.map(|(path, item)| (ResourceDef::new(path.as_str()), allow(item)));
        Self(Arc::new(known.collect()))
    }

    fn allowed(&self, path: &str) -> Option<&str> {
        let mut known = self.0.iter();
        known.find(|(pattern, _)| pattern.is_match(path)).map(|(_, allow)| allow.as_str())
    }
}

fn allow(item: &PathItem) -> String {
    let methods = [
        ("GET", &item.get),
        ("HEAD", &item.get),
        ("POST", &item.post),
        ("PUT", &item.put),
        ("PATCH", &item.patch),
        ("DELETE", &item.delete),
    ];
    let present = methods.iter().filter(|(_, operation)| operation.is_some());
    let mut names: Vec<_> = present.map(|(name, _)| *name).collect();
    names.push("OPTIONS");
    names.join(", ")
}

/// The default service of the application.
pub async fn fallback(req: HttpRequest, known: web::Data<Fallback>) -> HttpResponse {
    let Some(allow) = known.allowed(req.path()) else {
        return Problem::new(&kind::NOT_FOUND).error_response();
    };
    let allow = header::HeaderValue::from_str(allow).expect("method names are ASCII");
    if req.method() == Method::OPTIONS {
        return HttpResponse::NoContent().insert_header((header::ALLOW, allow)).finish();
    }
    Problem::new(&kind::METHOD_NOT_ALLOWED).header(header::ALLOW, allow).error_response()
}
