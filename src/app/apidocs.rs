//! Swagger UI, from files in the binary; it may not reach any other host.

use actix_web::{HttpResponse, dev::HttpServiceFactory, http::header, middleware::DefaultHeaders, web};
use utoipa_swagger_ui::{Config, SwaggerUi};

const POLICY: &str = "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; \
                      frame-ancestors 'none'";

pub fn apidocs() -> impl HttpServiceFactory + 'static {
    web::scope("/apidocs")
        .wrap(DefaultHeaders::new().add((header::CONTENT_SECURITY_POLICY, POLICY)))
        .route("/swagger-initializer.js", web::get().to(initializer))
        .service(SwaggerUi::new("/{_:.*}").config(Config::new(["/openapi.json"])))
}

/// Ours instead of the one that [`Config`] makes, which has no place for plugins.
async fn initializer() -> HttpResponse {
    HttpResponse::Ok().content_type("text/javascript; charset=utf-8").body(include_str!("apidocs.js"))
}

pub async fn to_apidocs() -> HttpResponse {
    HttpResponse::PermanentRedirect().insert_header((header::LOCATION, "apidocs/")).finish()
}
