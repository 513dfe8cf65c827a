//! Swagger UI, from files in the binary; its policy allows no other host.

use actix_web::{HttpResponse, dev::HttpServiceFactory, http::header, middleware::DefaultHeaders, web};
use utoipa_swagger_ui::{Config, SwaggerUi};

const POLICY: &str = "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; \
                      frame-ancestors 'none'";

/// Serves Swagger UI. With `remember` the browser stores the token of "Authorize", where any script of the origin can
/// read it. That is for development only (OWASP ASVS 5.0, 13.4.5 and 14.3.3).
pub fn apidocs(remember: bool) -> impl HttpServiceFactory + 'static {
    web::scope("/apidocs")
        .wrap(DefaultHeaders::new().add((header::CONTENT_SECURITY_POLICY, POLICY)))
        .route("/swagger-initializer.js", web::get().to(move || async move { initializer(remember) }))
        .service(SwaggerUi::new("/{_:.*}").config(Config::new(["/openapi.json"])))
}

/// Replaces the script that [`Config`] makes, which does not support plugins.
fn initializer(remember: bool) -> HttpResponse {
    let script = format!("const REMEMBER_TOKEN = {remember};\n{}", include_str!("apidocs.js"));
    HttpResponse::Ok().content_type("text/javascript; charset=utf-8").body(script)
}

pub async fn to_apidocs() -> HttpResponse {
    HttpResponse::PermanentRedirect().insert_header((header::LOCATION, "apidocs/")).finish()
}
