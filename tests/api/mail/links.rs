//! Where links in mails lead.

use reqwest::Method;
use serde_json::json;

use crate::support::{App, PUBLIC_URL};

/// A stranger who requests a mail for somebody else must not choose the host that its secret goes to.
#[tokio::test]
async fn no_header_of_a_request_chooses_where_a_link_leads() {
    let app = App::with(&[("TRUSTED_PROXIES", "127.0.0.0/8")]);
    let user = app.user().await;
    for (name, value) in [
        ("host", "evil.example"),
        ("x-forwarded-host", "evil.example"),
        ("x-forwarded-server", "evil.example"),
        ("x-forwarded-proto", "evil"),
        ("x-forwarded-port", "666"),
        ("x-forwarded-prefix", "/evil"),
        ("x-original-host", "evil.example"),
        ("x-original-url", "//evil.example"),
        ("x-rewrite-url", "//evil.example"),
        ("x-host", "evil.example"),
        ("forwarded", "for=192.0.2.1;host=evil.example;proto=http"),
        ("origin", "http://evil.example"),
        ("referer", "http://evil.example/"),
    ] {
        let body = json!({"email": user.email});
        let build = |request: reqwest::RequestBuilder| request.header(name, value).json(&body);
        app.anyone().send(Method::POST, "/api/v1/auth/password/forgot", build).await.assert(202);
        let mail = app.mail_to(&user.email).await;
        assert!(
            mail.link().starts_with(&format!("{PUBLIC_URL}/reset-password#token=")),
            "{name}: {}",
            mail.link()
        );
        for text in [&mail.text, &mail.html, &mail.from, &mail.message_id] {
            let is_clean = ["evil.example", "/evil", "evil:", ":666"].iter().all(|part| !text.contains(part));
            assert!(is_clean, "{name}: {text}");
        }
    }
}
