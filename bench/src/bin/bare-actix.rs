//! The lower bound: actix-web that sends prepared bytes and does nothing else.
//!
//! `bare-actix PORT FILE WORKERS` answers every GET with the file as JSON.

use actix_web::{App, HttpResponse, HttpServer, http::header, web};

#[actix_web::main]
async fn main() -> std::io::Result<()> {
    let arguments: Vec<String> = std::env::args().collect();
    let [_, port, file, workers] = arguments.as_slice() else {
        panic!("bare-actix PORT FILE WORKERS");
    };
    let body = web::Bytes::from(std::fs::read(file)?);
    HttpServer::new(move || {
        let body = body.clone();
        let answer = move || {
            let body = body.clone();
            async move {
                HttpResponse::Ok().insert_header((header::CONTENT_TYPE, "application/json")).body(body)
            }
        };
        App::new().default_service(web::get().to(answer))
    })
    .workers(workers.parse().expect("a number of workers"))
    .bind(("127.0.0.1", port.parse().expect("a port")))?
    .run()
    .await
}
