//! `X-Forwarded-For`: which part of it is trusted, and what is logged about it.

use std::fs;

use reqwest::{Method, RequestBuilder, header::HeaderValue};
use serde_json::json;

use crate::support::{
    App, Client, Database, PASSWORD,
    binary::{Server, directory},
};

/// The address that the server records for a log-in with these header lines.
async fn address(app: &App, email: &str, lines: &[&[u8]]) -> String {
    let body = json!({"email": email, "password": PASSWORD});
    let build = |request: RequestBuilder| {
        let values = lines.iter().map(|line| HeaderValue::from_bytes(line).unwrap());
        values.fold(request.json(&body), |request, value| request.header("x-forwarded-for", value))
    };
    let mut client = app.anyone();
    client.take(&client.send(Method::POST, "/api/v1/auth/login", build).await.assert(200).json());
    let sessions = client.get("/api/v1/auth/sessions").await.assert(200).json();
    let current = sessions["data"].as_array().unwrap().iter().find(|session| session["current"] == true);
    current.unwrap()["address"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn bytes_that_are_not_text_neither_hide_nor_forge_the_client() {
    let app = App::with(&[("TRUSTED_PROXIES", "127.0.0.0/8")]);
    app.register("ada@example.com").await;
    for (lines, expected) in [
        (&[&b"203.0.113.7"[..]][..], "203.0.113.7"),
        // The proxy appended to what the client sent: to its line, or in a line of its own.
        (&[b"\xff, 203.0.113.7"], "203.0.113.7"),
        (&[b"\xff,203.0.113.7"], "203.0.113.7"),
        (&[b"1.2.3.4", b"\xff, 203.0.113.7"], "203.0.113.7"),
        (&[b"\xff", b"203.0.113.7"], "203.0.113.7"),
        (&[b"1.2.3.4, \xc3\xa4, 203.0.113.7"], "203.0.113.7"),
        // What stands left of an unreadable entry is not trusted.
        (&[b"1.2.3.4", b"\xff"], "127.0.0.1"),
        (&[b"1.2.3.4, \xff"], "127.0.0.1"),
        (&[b"\xff"], "127.0.0.1"),
        (&[b"1.2.3.4\xff"], "127.0.0.1"),
        (&[b"1.2.3.4, \xff, 127.0.0.9"], "127.0.0.9"),
    ] {
        assert_eq!(address(&app, "ada@example.com", lines).await, expected, "{lines:?}");
    }
}

#[tokio::test]
async fn forwarding_by_an_untrusted_peer_is_logged_once_without_addresses() {
    let (database, home) = (Database::create(), directory());
    let url = database.url();
    let log = |name: &str, settings: &[(&str, &str)]| {
        let path = home.path().join(name);
        let file = fs::File::create(&path).unwrap();
        let all: Vec<_> = settings.iter().copied().chain([("DATABASE_URL", url.expose())]).collect();
        (Server::start_logging_to(file.into(), home.path(), &all), path)
    };
    let ask = async |server: &Server| {
        for n in 0..5 {
            let body = json!({"email": "ada@example.com", "password": "a wrong password"});
            let proxied = |request: RequestBuilder| {
                request.header("x-forwarded-for", format!("203.0.113.{n}")).json(&body)
            };
            let client = Client::new(&server.base);
            client.send(Method::POST, "/api/v1/auth/login", proxied).await.assert(401);
        }
    };
    let (mut server, path) = log("untrusted", &[]);
    ask(&server).await;
    server.stop();
    let text = fs::read_to_string(path).unwrap();
    let lines: Vec<_> = text.lines().filter(|line| line.contains("X-Forwarded-For")).collect();
    assert_eq!(lines.len(), 1, "{text}");
    assert!(lines[0].contains("WARN") && lines[0].contains("a private address"), "{text}");
    assert!(lines[0].contains("TRUSTED_PROXIES") && lines[0].contains("share one rate limit"), "{text}");
    assert!(!lines[0].contains("127.0.0.") && !text.contains("203.0.113."), "{text}");

    let (mut server, path) = log("trusted", &[("TRUSTED_PROXIES", "127.0.0.0/8")]);
    ask(&server).await;
    server.stop();
    assert!(!fs::read_to_string(path).unwrap().contains("X-Forwarded-For"));
}
