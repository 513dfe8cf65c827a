//! The page with the mails of a development server.

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{App, Client, PRODUCTION, Response, speak};

const MAILS: &str = "/dev/mails";
/// Only a server without a public address has a mailbox.
const LOCAL: (&str, &str) = ("PUBLIC_URL", "http://localhost:8080");
const HTML: (&str, &str) = ("accept", "text/html,application/xhtml+xml,*/*;q=0.8");

async fn get(client: &Client, path: &str, headers: &[(&str, &str)]) -> Response {
    let build = |request: reqwest::RequestBuilder| {
        headers.iter().fold(request, |request, (name, value)| request.header(*name, *value))
    };
    client.send(Method::GET, path, build).await
}

async fn forgot(app: &App, email: &str) {
    app.anyone().post("/api/v1/auth/password/forgot", &json!({"email": email})).await.assert(202);
    app.idle().await;
}

#[tokio::test]
async fn a_test_suite_reads_links_and_codes_as_json() {
    let app = App::with(&[LOCAL]);
    let (ada, bob) = (app.user().await, app.user().await);
    assert_eq!(get(&app.anyone(), MAILS, &[]).await.assert(200).json(), json!({"data": []}));
    forgot(&app, &ada.email).await;
    forgot(&app, &bob.email).await;
    let path = format!("{MAILS}?to={}", ada.email.to_uppercase());
    let answer = get(&app.anyone(), &path, &[("accept", "application/json")]).await.assert(200);
    assert_eq!(answer.header("cache-control"), "no-store");
    assert!(answer.header("vary").contains("Accept"), "{}", answer.header("vary"));
    assert_eq!(answer.header("cross-origin-resource-policy"), "same-origin");
    let body = answer.json();
    let [mail] = body["data"].as_array().unwrap().as_slice() else { panic!("{body}") };
    let sent = app.mail_to(&ada.email).await;
    assert_eq!(
        (mail["to"].as_str(), mail["subject"].as_str()),
        (Some(ada.email.as_str()), Some("Reset your password"))
    );
    assert_eq!(
        (mail["link"].as_str().unwrap(), mail["code"].as_str().unwrap()),
        (&*sent.link(), &*sent.code())
    );
    assert_eq!(mail["text"].as_str().unwrap().trim_end(), sent.text.trim_end());
    let one = get(&app.anyone(), &format!("{MAILS}/{}", mail["id"].as_str().unwrap()), &[]).await.assert(200);
    assert_eq!(one.json(), *mail);
    let all = get(&app.anyone(), MAILS, &[]).await.assert(200).json();
    let to: Vec<_> = all["data"].as_array().unwrap().iter().map(|mail| mail["to"].clone()).collect();
    assert_eq!(to, [Value::from(bob.email), Value::from(ada.email)], "the newest first");

    let token = mail["link"].as_str().unwrap().split_once("#token=").unwrap().1;
    let body = json!({"token": token, "new_password": "a horse of another colour"});
    app.anyone().post("/api/v1/auth/password/reset", &body).await.assert(204);
}

#[tokio::test]
async fn a_person_reads_mails_on_pages_that_load_nothing_from_elsewhere() {
    let app = App::with(&[LOCAL, ("PRODUCT_NAME", "A</pre><script>alert(1)</script>")]);
    let ada = app.user().await;
    let empty = get(&app.anyone(), MAILS, &[HTML]).await.assert(200);
    assert!(empty.text().contains("No mails yet."));
    forgot(&app, &ada.email).await;
    let id = get(&app.anyone(), MAILS, &[]).await.json()["data"][0]["id"].as_str().unwrap().to_owned();
    let sent = app.mail_to(&ada.email).await;
    let list = get(&app.anyone(), MAILS, &[HTML]).await.assert(200);
    assert!(list.text().contains(&format!("href=\"/dev/mails/{id}\"")) && list.text().contains(&sent.code()));
    let page = get(&app.anyone(), &format!("{MAILS}/{id}"), &[HTML]).await.assert(200);
    let sandbox = "sandbox=\"allow-popups allow-popups-to-escape-sandbox\"";
    assert!(page.text().contains(sandbox) && page.text().contains(&sent.link()), "{}", page.text());
    let html = get(&app.anyone(), &format!("{MAILS}/{id}/html"), &[HTML]).await.assert(200);
    assert!(html.text().contains("<base target=\"_blank\">") && html.text().contains("</h1>"));
    for (answer, policies) in [
        (&list, ["default-src 'none'; style-src 'sha256-", "frame-ancestors 'none'"]),
        (&page, ["default-src 'none'; style-src 'sha256-", "frame-ancestors 'none'"]),
        (
            &html,
            [
                "sandbox allow-popups allow-popups-to-escape-sandbox; default-src 'none'",
                "frame-ancestors 'self'",
            ],
        ),
    ] {
        assert_eq!(answer.header("content-type"), "text/html; charset=utf-8");
        assert_eq!(
            (answer.header("referrer-policy"), answer.header("cache-control")),
            ("no-referrer", "no-store")
        );
        let policy = answer.header("content-security-policy");
        assert!(
            policies.iter().all(|part| policy.contains(part)) && !policy.contains("script-src"),
            "{policy}"
        );
        assert!(!answer.text().contains("<script"), "{}", answer.text());
    }
    for unknown in ["0199f3b0-5b0a-7cc0-b1c5-4cbbf3a3b0f1", "0199f3b0-5b0a-7cc0-b1c5-4cbbf3a3b0f1/html"] {
        get(&app.anyone(), &format!("{MAILS}/{unknown}"), &[HTML]).await.assert_problem(404, "not-found");
    }
    get(&app.anyone(), &format!("{MAILS}/nonsense"), &[]).await.assert_problem(400, "malformed-path");
    get(&app.anyone(), &format!("{MAILS}?from=x"), &[]).await.assert_problem(400, "malformed-query");
}

/// The mails contain links that log people in.
#[tokio::test]
async fn websites_proxies_and_other_names_are_refused() {
    let app = App::with(&[LOCAL, ("CORS_ORIGINS", "*"), ("TRUSTED_PROXIES", "127.0.0.0/8")]);
    let ada = app.user().await;
    forgot(&app, &ada.email).await;
    let id =
        get(&app.anyone(), MAILS, &[]).await.assert(200).json()["data"][0]["id"].as_str().unwrap().to_owned();
    for path in [MAILS.to_owned(), format!("{MAILS}/{id}"), format!("{MAILS}/{id}/html")] {
        for headers in [
            // DNS rebinding: a website whose name leads here.
            [("host", "evil.example"), HTML],
            [("host", "192.168.1.5:8080"), HTML],
            // A website that the developer has opened, although `CORS_ORIGINS` allows all.
            [("origin", "https://evil.example"), HTML],
            [("origin", "null"), HTML],
            [("origin", "http://localhost:3000"), HTML],
            [("sec-fetch-site", "cross-site"), HTML],
            // A tunnel or proxy, behind which anyone may be.
            [("x-forwarded-for", "127.0.0.1"), HTML],
            [("forwarded", "for=127.0.0.1"), HTML],
        ] {
            let answer = get(&app.anyone(), &path, &headers).await;
            answer.assert_problem(404, "not-found");
        }
        get(&app.anyone(), &path, &[("host", "localhost:8080"), HTML]).await.assert(200);
    }
}

/// `proxy_pass http://127.0.0.1:8080;` without any other line names neither the client nor the proxy.
#[tokio::test]
async fn a_proxy_with_the_defaults_of_nginx_is_refused() {
    let app = App::with(&[LOCAL]);
    let ask = async |version: &str| {
        let head = format!("GET {MAILS} {version}\r\nHost: 127.0.0.1:8080\r\nConnection: close\r\n\r\n");
        speak(&app.base, head.as_bytes()).await
    };
    let answer = ask("HTTP/1.0").await;
    assert!(answer.contains(" 404 ") && answer.contains("not-found"), "{answer}");
    let answer = ask("HTTP/1.1").await;
    assert!(answer.contains(" 200 "), "{answer}");
}

/// Not even a proxy that cannot be told from a program on the same computer shows its mails to strangers.
#[tokio::test]
async fn a_server_with_a_public_address_has_no_mailbox() {
    for address in ["https://staging.example.com", "http://192.168.1.5:8080"] {
        let app = App::with(&[("PUBLIC_URL", address)]);
        get(&app.anyone(), MAILS, &[("host", "localhost:8080")]).await.assert_problem(404, "not-found");
    }
    for settings in [[("BIND", "0.0.0.0:0"), ("PUBLIC_URL", "")], [("BIND", "127.0.0.1:0"), LOCAL]] {
        let app = App::with(&settings);
        get(&app.anyone(), MAILS, &[("host", "localhost:8080")]).await.assert(200);
    }
}

#[tokio::test]
async fn there_is_no_mailbox_in_production() {
    // Also where the address alone would not forbid it.
    let app = App::with(&[PRODUCTION as &[_], &[LOCAL]].concat());
    let ada = app.user().await;
    forgot(&app, &ada.email).await;
    assert!(app.mail_to(&ada.email).await.link().starts_with("http://localhost:8080/"));
    for path in [MAILS, "/dev/mails/", "/dev", "/dev/mails/0199f3b0-5b0a-7cc0-b1c5-4cbbf3a3b0f1"] {
        let answer = get(&app.anyone(), path, &[HTML]).await;
        answer.assert_problem(404, "not-found");
    }
    assert!(!get(&app.anyone(), "/", &[HTML]).await.text().contains("dev/mails"), "no link either");
}
