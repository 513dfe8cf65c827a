//! What every client sees of the server: health, keys, documents, headers, HTTPS.

use std::fs;

use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};

use crate::support::{
    App, Database, PRODUCTION,
    binary::{Server, directory, fail, mintage},
};

#[tokio::test]
async fn the_server_is_alive_and_ready() {
    let app = App::start();
    assert_eq!(app.anyone().get("/healthz").await.assert(200).json()["status"], "ok");
    let mut ready = app.anyone().get("/readyz").await.assert(200).json();
    let age = ready["blocklist_confirmed_seconds_ago"].take();
    assert!(age.as_u64().is_some_and(|age| age < 15), "{age}");
    ready.as_object_mut().unwrap().remove("blocklist_confirmed_seconds_ago");
    assert_eq!(ready, json!({"status": "ready", "database": "up", "restarted_tasks": []}));
}

#[tokio::test]
async fn the_key_set_holds_public_keys_only() {
    let app = App::start();
    let jwks = app.anyone().get("/.well-known/jwks.json").await.assert(200).json();
    let keys = jwks["keys"].as_array().unwrap();
    assert_eq!(keys.len(), 2, "the current and the next one");
    for key in keys {
        assert_eq!(
            (&key["kty"], &key["crv"], &key["alg"]),
            (&"OKP".into(), &"Ed25519".into(), &"EdDSA".into())
        );
        assert!(key.get("d").is_none());
    }
}

#[tokio::test]
async fn the_served_document_is_the_committed_one() {
    let app = App::start();
    for (path, committed) in [
        ("/openapi.json", include_str!("../../../openapi/openapi.json")),
        ("/openapi-3.0.json", include_str!("../../../openapi/openapi-3.0.json")),
    ] {
        let mut served = app.anyone().get(path).await.assert(200).json();
        let mut committed: Value = serde_json::from_str(committed).unwrap();
        assert_eq!(
            served["servers"].take(),
            json!([{"url": "http://mintage.test"}]),
            "the address of this server"
        );
        assert_eq!(committed["servers"].take()[0]["url"], "http://127.0.0.1:8080");
        assert!(served == committed, "run `cargo run -- openapi > openapi/openapi.json`");
    }
}

#[tokio::test]
async fn the_postman_collection_is_served_with_the_address_of_the_server() {
    let app = App::start();
    let answer = app.anyone().get("/postman.json").await.assert(200);
    assert_eq!(answer.header("access-control-allow-origin"), "*");
    let served = answer.json();
    let mut expected: Value =
        serde_json::from_str(include_str!("../../../postman/mintage.postman_collection.json")).unwrap();
    assert_eq!(
        expected["variable"][0],
        json!({"key": "base_url", "value": "http://127.0.0.1:8080", "type": "string"})
    );
    expected["variable"][0]["value"] = "http://mintage.test".into();
    assert!(served == expected, "only the address differs from the committed collection");
}

#[tokio::test]
async fn documents_for_tools_are_compressed_and_not_sent_twice() {
    let app = App::start();
    for path in ["/openapi.json", "/openapi-3.0.json", "/postman.json"] {
        let client = app.anyone();
        let get = async |name, value: &str| {
            client.send(Method::GET, path, |request| request.header(name, value)).await
        };
        let packed = get("accept-encoding", "gzip").await.assert(200);
        assert_eq!(packed.header("content-encoding"), "gzip", "{path}");
        assert_eq!(packed.header("cache-control"), "public, max-age=60");
        let etag = app.anyone().get(path).await.assert(200).header("etag").to_owned();
        assert_eq!(get("if-none-match", &etag).await.assert(304).header("etag"), etag, "{path}");
    }
}

#[tokio::test]
async fn swagger_ui_is_served_from_the_binary() {
    let app = App::start();
    let redirect = app.anyone().get("/apidocs").await.assert(308);
    assert_eq!(redirect.header("location"), "apidocs/");
    let page = app.anyone().get("/apidocs/").await.assert(200);
    let html = page.text();
    assert!(html.contains("swagger-ui") && html.contains("width=device-width"), "{html}");
    assert!(html.contains(&format!("<title>Mintage {} – API</title>", env!("CARGO_PKG_VERSION"))), "{html}");
    assert!(page.header("content-security-policy").starts_with("default-src 'self'"));
    for file in ["swagger-ui-bundle.js", "swagger-ui.css", "apidocs.css", "swagger-initializer.js"] {
        app.anyone().get(&format!("/apidocs/{file}")).await.assert(200);
    }
    let settings = app.anyone().get("/apidocs/swagger-initializer.js").await.text();
    assert!(settings.contains("/openapi.json") && !settings.contains("https://"));
}

#[tokio::test]
async fn without_api_docs_neither_swagger_ui_nor_the_document_is_served() {
    let app = App::with(&[("API_DOCS", "off")]);
    for path in [
        "/apidocs",
        "/apidocs/",
        "/apidocs/swagger-initializer.js",
        "/openapi.json",
        "/openapi-3.0.json",
        "/postman.json",
    ] {
        app.anyone().get(path).await.assert_problem(404, "not-found");
        app.anyone().send(Method::HEAD, path, |request| request).await.assert(404);
    }
    for path in ["/problems", "/.well-known/jwks.json", "/healthz"] {
        app.anyone().get(path).await.assert(200);
    }
}

#[tokio::test]
async fn swagger_ui_remembers_a_token_in_development_only() {
    let script =
        async |app: &App| app.anyone().get("/apidocs/swagger-initializer.js").await.assert(200).text();
    assert!(script(&App::start()).await.starts_with("const REMEMBER_TOKEN = true;"));
    let script = script(&App::with(PRODUCTION)).await;
    assert!(script.starts_with("const REMEMBER_TOKEN = false;"));
    assert_eq!(script.matches("persistAuthorization: REMEMBER_TOKEN").count(), 1);
}

#[tokio::test]
async fn every_problem_type_leads_to_its_page() {
    let app = App::start();
    let problem = app.anyone().get("/nope").await.assert(404).json();
    let path = problem["type"].as_str().unwrap().strip_prefix("http://mintage.test").unwrap();
    assert!(app.anyone().get(path).await.assert(200).text().contains("not-found"));
    for kind in mintage::http::kind::ALL {
        let page = app.anyone().get(&format!("/problems/{}", kind.code)).await.assert(200);
        assert!(page.text().contains(kind.title));
        assert!(!page.header("content-security-policy").contains("unsafe"));
    }
    app.anyone().get("/problems/nonsense").await.assert_problem(404, "not-found");
    let index = app.anyone().get("/problems").await.assert(200).text();
    for kind in mintage::http::kind::ALL {
        let (code, public_url) = (kind.code, "http://mintage.test");
        assert!(index.contains(&format!(r##"href="#{code}""##)), "{code} is in the index");
        assert!(index.contains(&format!(r#"<section id="{code}">"#)), "{code} has an anchor");
        assert!(index.contains(&format!("{public_url}/problems/{code}&#34;")), "{code} has an example");
    }
}

#[tokio::test]
async fn answers_carry_security_headers() {
    let app = App::start();
    for path in ["/healthz", "/nope", "/api/v1/user"] {
        let response = app.anyone().get(path).await;
        assert_eq!(response.header("x-content-type-options"), "nosniff");
        assert!(response.header("content-security-policy").contains("default-src 'none'"));
        assert!(!response.headers.contains_key("access-control-allow-origin"));
    }
}

#[tokio::test]
async fn only_configured_origins_may_call_from_a_browser() {
    let app = App::with(&[("CORS_ORIGINS", "https://app.example.com")]);
    let preflight = async |origin: &'static str| {
        let build = |request: RequestBuilder| {
            request
                .header("origin", origin)
                .header("access-control-request-method", "PATCH")
                .header("access-control-request-headers", "authorization,content-type")
        };
        app.anyone().send(Method::OPTIONS, "/api/v1/user", build).await
    };
    let allowed = preflight("https://app.example.com").await.assert(200);
    assert_eq!(allowed.header("access-control-allow-origin"), "https://app.example.com");
    assert!(!preflight("https://evil.example.com").await.headers.contains_key("access-control-allow-origin"));
}

#[tokio::test]
async fn in_development_only_pages_of_this_computer_may_call_from_a_browser() {
    let app = App::start();
    let from = async |origin: &'static str| {
        app.anyone()
            .send(Method::GET, "/healthz", |request| request.header("origin", origin))
            .await
            .assert(200)
    };
    for local in
        ["http://localhost:5173", "https://localhost:8443", "http://127.0.0.1:3000", "http://[::1]:3000"]
    {
        let answer = from(local).await;
        assert_eq!(answer.header("access-control-allow-origin"), local);
        assert!(answer.header("vary").contains("Origin"));
        assert!(!answer.headers.contains_key("access-control-allow-credentials"), "there are no cookies");
    }
    for stranger in
        ["https://evil.example.com", "http://localhost.example.com", "http://127.0.0.1.example.com", "null"]
    {
        assert!(!from(stranger).await.headers.contains_key("access-control-allow-origin"), "{stranger}");
    }
    let answer = app.anyone().get("/healthz").await;
    assert!(answer.header("vary").contains("Origin"), "a cache keeps the answers apart");

    let preflight = async |origin: &'static str, header: &'static str| {
        let build = |request: RequestBuilder| {
            request
                .header("origin", origin)
                .header("access-control-request-method", "GET")
                .header("access-control-request-headers", header)
        };
        app.anyone().send(Method::OPTIONS, "/api/v1/coins", build).await
    };
    preflight("http://localhost:5173", "authorization,sentry-trace").await.assert(200);
    for (origin, header, why) in [
        ("https://evil.example.com", "authorization", "CORS_ORIGINS"),
        ("http://localhost:5173", "x-unknown", "Access-Control-Request-Headers"),
    ] {
        let refused = preflight(origin, header).await.assert_problem(403, "cors-refused").json();
        assert!(refused["detail"].as_str().unwrap().contains(why), "{refused}");
    }

    let configured = App::with(&[("CORS_ORIGINS", "https://app.example.com")]);
    let local = |request: RequestBuilder| request.header("origin", "http://localhost:5173");
    let answer = configured.anyone().send(Method::GET, "/healthz", local).await;
    assert!(!answer.headers.contains_key("access-control-allow-origin"), "the setting replaces the default");
}

#[tokio::test]
async fn a_preflight_lets_the_headers_of_tracing_and_conditions_pass() {
    let app = App::start();
    let headers = "authorization,content-type,if-match,if-none-match,idempotency-key,last-event-id,x-api-key,\
        x-request-id,traceparent,tracestate,baggage";
    let ask = |request: RequestBuilder| {
        request
            .header("origin", "http://localhost:5173")
            .header("access-control-request-method", "PATCH")
            .header("access-control-request-headers", headers)
    };
    let answer = app.anyone().send(Method::OPTIONS, "/api/v1/user", ask).await.assert(200);
    let allowed = answer.header("access-control-allow-headers").to_lowercase();
    let allowed: Vec<&str> = allowed.split(',').map(str::trim).collect();
    for header in headers.split(',') {
        assert!(allowed.contains(&header), "{header}");
    }
}

#[tokio::test]
async fn public_documents_are_open_to_pages_of_any_origin() {
    let paths = [
        "/.well-known/jwks.json",
        "/.well-known/oauth-authorization-server",
        "/openapi.json",
        "/postman.json",
        "/openapi-3.0.json",
    ];
    for app in [App::start(), App::with(&[("CORS_ORIGINS", "https://app.example.com")])] {
        for path in paths {
            for origin in
                ["https://elsewhere.example.com", "https://app.example.com", "http://localhost:3000"]
            {
                let from = |request: RequestBuilder| request.header("origin", origin);
                let answer = app.anyone().send(Method::GET, path, from).await.assert(200);
                assert_eq!(answer.header("access-control-allow-origin"), "*", "{path} {origin}");
            }
            let preflight = |request: RequestBuilder| {
                request
                    .header("origin", "https://elsewhere.example.com")
                    .header("access-control-request-method", "GET")
                    .header("access-control-request-headers", "traceparent")
            };
            let answer = app.anyone().send(Method::OPTIONS, path, preflight).await.assert(204);
            assert_eq!(answer.header("access-control-allow-origin"), "*");
        }
        let elsewhere = |request: RequestBuilder| request.header("origin", "https://elsewhere.example.com");
        let answer = app.anyone().send(Method::GET, "/api/v1/user", elsewhere).await.assert(401);
        assert!(!answer.headers.contains_key("access-control-allow-origin"), "the API is not open");
    }
}

#[tokio::test]
async fn https_is_served_with_a_certificate() {
    let database = Database::create();
    let home = directory();
    let url = database.url();
    let pair = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    fs::write(home.path().join("cert.pem"), pair.cert.pem()).unwrap();
    fs::write(home.path().join("key.pem"), pair.signing_key.serialize_pem()).unwrap();
    let tls = [("DATABASE_URL", url.expose()), ("TLS_CERT", "cert.pem"), ("TLS_KEY", "key.pem")];
    let server = Server::start(home.path(), &tls);
    let port = server.base.rsplit(':').next().unwrap();
    let root = reqwest::Certificate::from_pem(pair.cert.pem().as_bytes()).unwrap();
    let http = reqwest::Client::builder().tls_certs_only([root]).no_proxy().build().unwrap();
    let answer = http.get(format!("https://localhost:{port}/healthz")).send().await.unwrap();
    assert_eq!(answer.status(), 200);
    assert!(answer.headers().contains_key("strict-transport-security"));

    let error = fail(&mut mintage(home.path(), &[tls[0], tls[1], ("TLS_KEY", "missing.pem")]));
    assert!(error.contains("TLS_KEY"), "{error}");
}
