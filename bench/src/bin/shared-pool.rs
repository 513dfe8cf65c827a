//! The usual design, for comparison: bcrypt in the framework's shared blocking pool.
//!
//! `shared-pool PORT FILE WORKERS COST`: GET answers with the file, POST verifies a password.

use actix_web::{App, HttpResponse, HttpServer, http::header, web};

#[actix_web::main]
async fn main() -> std::io::Result<()> {
    let arguments: Vec<String> = std::env::args().collect();
    let [_, port, file, workers, cost] = arguments.as_slice() else {
        panic!("shared-pool PORT FILE WORKERS COST");
    };
    let body = web::Bytes::from(std::fs::read(file)?);
    let hash = bcrypt::hash("a password", cost.parse().expect("a cost")).expect("a hash");
    HttpServer::new(move || {
        let (body, hash) = (body.clone(), hash.clone());
        let read = move || {
            let body = body.clone();
            async move { HttpResponse::Ok().insert_header((header::CONTENT_TYPE, "application/json")).body(body) }
        };
        let log_in = move |_: web::Bytes| {
            let hash = hash.clone();
            async move {
                #[expect(clippy::disallowed_methods, reason = "this is what is compared with")]
                let verdict = web::block(move || bcrypt::verify("a password", &hash)).await;
                HttpResponse::Ok().body(format!("{verdict:?}"))
            }
        };
        App::new().route("/login", web::post().to(log_in)).default_service(web::get().to(read))
    })
    .workers(workers.parse().expect("a number of workers"))
    .bind(("127.0.0.1", port.parse().expect("a port")))?
    .run()
    .await
}
