//! Swagger UI, from files in the binary; its policy allows no other host. The page, its style and the script that starts
//! it are ours, the rest is the vendored one.

use actix_web::{
    HttpResponse,
    dev::HttpServiceFactory,
    http::header,
    middleware::DefaultHeaders,
    web::{self, Data},
};
use askama::Template;
use utoipa_swagger_ui::{Config, SwaggerUi};

use crate::{
    home::{self, COMMIT, VERSION},
    http::{Problem, html},
};

const POLICY: &str = "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; \
                      base-uri 'none'; frame-ancestors 'none'";

/// Serves Swagger UI. With `remember` the browser stores the token of "Authorize", where any script of the origin can
/// read it. That is for development only (OWASP ASVS 5.0, 13.4.5 and 14.3.3).
pub fn apidocs(remember: bool) -> impl HttpServiceFactory + 'static {
    web::scope("/apidocs")
        .wrap(DefaultHeaders::new().add((header::CONTENT_SECURITY_POLICY, POLICY)))
        .route("/", web::get().to(page))
        .route("/index.html", web::get().to(page))
        .route("/apidocs.css", web::get().to(style))
        .route("/swagger-initializer.js", web::get().to(move || async move { initializer(remember) }))
        .service(SwaggerUi::new("/{_:.*}").config(Config::new(["/openapi.json"])))
}

#[derive(Template)]
#[template(path = "app/apidocs.html")]
struct Page<'a> {
    name: &'a str,
    version: &'a str,
    commit: Option<&'a str>,
}

async fn page(site: Data<home::Site>) -> Result<HttpResponse, Problem> {
    let page = Page { name: &site.product_name, version: VERSION, commit: COMMIT };
    let html = page.render().map_err(Problem::internal)?;
    Ok(HttpResponse::Ok().content_type(html::CONTENT_TYPE).body(html))
}

async fn style() -> HttpResponse {
    HttpResponse::Ok().content_type("text/css; charset=utf-8").body(include_str!("apidocs.css"))
}

/// Replaces the script that [`Config`] makes, which does not support plugins.
fn initializer(remember: bool) -> HttpResponse {
    let script = format!("const REMEMBER_TOKEN = {remember};\n{}", include_str!("apidocs.js"));
    HttpResponse::Ok().content_type("text/javascript; charset=utf-8").body(script)
}

pub async fn to_apidocs() -> HttpResponse {
    HttpResponse::PermanentRedirect().insert_header((header::LOCATION, "apidocs/")).finish()
}
