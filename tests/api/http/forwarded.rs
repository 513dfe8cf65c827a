//! `X-Forwarded-For` and `Forwarded`: which part of them is trusted, and what is logged about it.

use std::fs;

use reqwest::{Method, RequestBuilder, header::HeaderValue};
use serde_json::json;

use crate::support::{
    App, Client, Database, PASSWORD,
    binary::{Server, directory},
};

/// The address that the server records for a log-in with these lines of `X-Forwarded-For`.
async fn address(app: &App, email: &str, lines: &[&[u8]]) -> String {
    let headers: Vec<_> = lines.iter().map(|line| ("x-forwarded-for", *line)).collect();
    address_by(app, email, &headers).await
}

/// The address that the server records for a log-in with these headers.
async fn address_by(app: &App, email: &str, headers: &[(&'static str, &[u8])]) -> String {
    let body = json!({"email": email, "password": PASSWORD});
    let build = |request: RequestBuilder| {
        let values = headers.iter().map(|(name, line)| (*name, HeaderValue::from_bytes(line).unwrap()));
        values.fold(request.json(&body), |request, (name, value)| request.header(name, value))
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

const XFF: &str = "x-forwarded-for";
const FORWARDED: &str = "forwarded";
/// The peer of the tests.
const PEER: &str = "127.0.0.1";
const CLIENT: &str = "203.0.113.7";

/// Tricks with `X-Forwarded-For` behind one trusted proxy, which has appended [`CLIENT`] where it occurs.
#[tokio::test]
async fn tricks_with_x_forwarded_for_neither_hide_nor_forge_the_client() {
    let app = App::with(&[("TRUSTED_PROXIES", "127.0.0.0/8,10.0.0.0/8")]);
    app.register("ada@example.com").await;
    let long = format!("{}{CLIENT}", "1.2.3.4, ".repeat(400));
    let cases: &[(&[(&'static str, &str)], &str)] = &[
        (&[(XFF, CLIENT)], CLIENT),
        (&[(XFF, "1.2.3.4, 203.0.113.7")], CLIENT),
        (&[(XFF, "1.2.3.4"), (XFF, CLIENT)], CLIENT),
        (&[(XFF, "127.0.0.1, 203.0.113.7")], CLIENT),
        (&[(XFF, "10.0.0.9, 203.0.113.7, 10.0.0.1")], CLIENT),
        (&[(XFF, "203.0.113.7, 10.0.0.1, 10.0.0.2")], CLIENT),
        (&[(XFF, &long)], CLIENT),
        (&[(XFF, "203.0.113.7:4711")], CLIENT),
        (&[(XFF, "::ffff:203.0.113.7")], CLIENT),
        (&[(XFF, "[::ffff:203.0.113.7]:80")], CLIENT),
        (&[(XFF, "\t 203.0.113.7 \t")], CLIENT),
        (&[(XFF, "2001:DB8:0:0::7")], "2001:db8::7"),
        (&[(XFF, "[2001:db8::7]:443")], "2001:db8::7"),
        (&[(XFF, "unknown, 203.0.113.7")], CLIENT),
        (&[(XFF, ", ,,203.0.113.7")], CLIENT),
        // What the proxy appended is not an address, so the proxy is the client.
        (&[(XFF, "203.0.113.7, unknown")], PEER),
        (&[(XFF, "203.0.113.7, _hidden")], PEER),
        (&[(XFF, "203.0.113.7,")], PEER),
        (&[(XFF, "")], PEER),
        (&[(XFF, "\"203.0.113.7\"")], PEER),
        (&[(XFF, "fe80::1%eth0")], PEER),
        (&[(XFF, "[[2001:db8::7]]")], PEER),
        (&[(XFF, "203.0.113.7.")], PEER),
        (&[(XFF, "203.0.113.007")], PEER),
        (&[(XFF, "0x7f.1")], PEER),
        (&[(XFF, "localhost")], PEER),
        (&[(XFF, "203.0.113.7 10.0.0.1")], PEER),
        (&[(XFF, "for=203.0.113.7")], PEER),
        // All are trusted: the first of them.
        (&[(XFF, "10.0.0.3, 10.0.0.2")], "10.0.0.3"),
        // Other headers are never read.
        (&[("x-real-ip", "1.2.3.4")], PEER),
        (&[("x-client-ip", "1.2.3.4"), ("true-client-ip", "1.2.3.4"), ("cf-connecting-ip", "1.2.3.4")], PEER),
        (&[(FORWARDED, "for=1.2.3.4")], PEER),
        (&[(FORWARDED, "for=1.2.3.4"), (XFF, CLIENT), ("x-real-ip", "1.2.3.4")], CLIENT),
        (&[("x-forwarded-host", "1.2.3.4"), ("x-cluster-client-ip", "1.2.3.4"), (XFF, CLIENT)], CLIENT),
    ];
    check_tricks(&app, cases).await;
}

#[tokio::test]
async fn tricks_with_forwarded_neither_hide_nor_forge_the_client() {
    let settings = [("TRUSTED_PROXIES", "127.0.0.0/8,10.0.0.0/8"), ("TRUSTED_PROXY_HEADER", "forwarded")];
    let app = App::with(&settings);
    app.register("ada@example.com").await;
    let long = format!("{}for={CLIENT}", "for=1.2.3.4, ".repeat(400));
    let cases: &[(&[(&'static str, &str)], &str)] = &[
        (&[(FORWARDED, "for=203.0.113.7")], CLIENT),
        (&[(FORWARDED, "FOR=203.0.113.7;Proto=https;By=10.0.0.1")], CLIENT),
        (&[(FORWARDED, "proto=http;host=a.example;for=\"203.0.113.7:4711\"")], CLIENT),
        (&[(FORWARDED, "for=\"[2001:db8::7]:4711\"")], "2001:db8::7"),
        (&[(FORWARDED, "for=\"[2001:db8::7]\"")], "2001:db8::7"),
        (&[(FORWARDED, "for=\"[::ffff:203.0.113.7]\"")], CLIENT),
        (&[(FORWARDED, "for=1.2.3.4, for=203.0.113.7")], CLIENT),
        (&[(FORWARDED, "for=1.2.3.4"), (FORWARDED, "for=203.0.113.7")], CLIENT),
        (&[(FORWARDED, "for=203.0.113.7, for=10.0.0.2;by=10.0.0.1")], CLIENT),
        (&[(FORWARDED, &long)], CLIENT),
        // A quote that the client left open, and separators in quotes.
        (&[(FORWARDED, "for=\"1.2.3.4, for=203.0.113.7")], CLIENT),
        (&[(FORWARDED, "for=\"1.2.3.4\\, for=203.0.113.7")], CLIENT),
        (&[(FORWARDED, "for=\"1.2.3.4"), (FORWARDED, "for=203.0.113.7")], CLIENT),
        (&[(FORWARDED, "for=203.0.113.7;host=\"a,for=1.2.3.4\"")], CLIENT),
        (&[(FORWARDED, "for=203.0.113.7;host=\"a;for=1.2.3.4\"")], CLIENT),
        (&[(FORWARDED, "for=203.0.113.7;host=\"a\\\",for=1.2.3.4\"")], CLIENT),
        (&[(FORWARDED, "for=unknown, for=203.0.113.7")], CLIENT),
        // What the proxy appended names no address.
        (&[(FORWARDED, "for=203.0.113.7, for=unknown")], PEER),
        (&[(FORWARDED, "for=203.0.113.7, for=_SEVKISEK")], PEER),
        (&[(FORWARDED, "for=203.0.113.7, for=\"_gazonk\"")], PEER),
        (&[(FORWARDED, "for=203.0.113.7, by=10.0.0.1")], PEER),
        (&[(FORWARDED, "for=203.0.113.7;for=1.2.3.4")], PEER),
        (&[(FORWARDED, "for=203.0.113.7,")], PEER),
        (&[(FORWARDED, "for=\"[fe80::1%eth0]\"")], PEER),
        (&[(FORWARDED, "203.0.113.7")], PEER),
        (&[(FORWARDED, "")], PEER),
        // The other header is never read.
        (&[(XFF, "1.2.3.4")], PEER),
        (&[(XFF, "1.2.3.4"), (FORWARDED, "for=203.0.113.7")], CLIENT),
    ];
    check_tricks(&app, cases).await;
}

async fn check_tricks(app: &App, cases: &[(&[(&'static str, &str)], &str)]) {
    for (headers, expected) in cases {
        let bytes: Vec<_> = headers.iter().map(|(name, value)| (*name, value.as_bytes())).collect();
        assert_eq!(address_by(app, "ada@example.com", &bytes).await, *expected, "{headers:?}");
    }
}

#[tokio::test]
async fn headers_of_a_peer_that_is_not_trusted_are_ignored() {
    for header in ["x-forwarded-for", "forwarded"] {
        let app = App::with(&[("TRUSTED_PROXIES", "10.0.0.0/8"), ("TRUSTED_PROXY_HEADER", header)]);
        app.register("ada@example.com").await;
        let headers: [(&'static str, &[u8]); 2] = [(XFF, b"10.0.0.9, 1.2.3.4"), (FORWARDED, b"for=1.2.3.4")];
        assert_eq!(address_by(&app, "ada@example.com", &headers).await, PEER, "{header}");
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
    let lines: Vec<_> = text.lines().filter(|line| line.contains("x-forwarded-for")).collect();
    assert_eq!(lines.len(), 1, "{text}");
    assert!(lines[0].contains("WARN") && lines[0].contains("a private address"), "{text}");
    assert!(lines[0].contains("TRUSTED_PROXIES") && lines[0].contains("share one rate limit"), "{text}");
    assert!(!lines[0].contains("127.0.0.") && !text.contains("203.0.113."), "{text}");

    let (mut server, path) = log("trusted", &[("TRUSTED_PROXIES", "127.0.0.0/8")]);
    ask(&server).await;
    server.stop();
    assert!(!fs::read_to_string(path).unwrap().contains("x-forwarded-for"));
}
