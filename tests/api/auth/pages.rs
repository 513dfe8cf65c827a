//! The built-in pages, as far as they can be seen without a browser; see `tests/browser` for the rest.

use crate::support::App;

#[tokio::test]
async fn pages_are_locked_down_and_load_nothing_from_elsewhere() {
    let app = App::with(&[("PRODUCT_NAME", "Acme <b>& Co</b>")]);
    for path in [
        "/confirm",
        "/reset-password",
        "/confirm-email-change",
        "/undo-email-change",
        "/unlock-login",
        "/end-session",
    ] {
        let page = app.anyone().get(path).await.assert(200);
        assert_eq!(page.header("cache-control"), "no-store");
        assert_eq!(page.header("referrer-policy"), "no-referrer");
        let policy = page.header("content-security-policy");
        assert!(policy.starts_with("default-src 'none'; script-src 'self'") && !policy.contains("unsafe"));
        let html = page.text();
        assert!(html.contains("Acme &#60;b&#62;&#38; Co"), "{html}");
        assert!(!html.contains("//") && !html.contains("style=") && !html.contains("onclick"), "{html}");
        assert!(!html.contains("<script>") && !html.contains("<style>"), "{html}");
    }
}

#[tokio::test]
async fn only_the_files_of_pages_are_served() {
    let app = App::start();
    for (name, kind) in [("flow.js", "text/javascript"), ("flow.css", "text/css")] {
        let file = app.anyone().get(&format!("/pages/{name}")).await.assert(200);
        assert!(file.header("content-type").starts_with(kind));
    }
    for name in ["page.html", "mod.rs", "..%2Fmod.rs", "flow.js%00"] {
        app.anyone().get(&format!("/pages/{name}")).await.assert_problem(404, "not-found");
    }
}

#[tokio::test]
async fn pages_lead_to_the_log_in_of_the_settings_and_otherwise_to_the_start_page() {
    let link = async |settings: &[(&str, &str)]| {
        let html = App::with(settings).anyone().get("/confirm").await.assert(200).text();
        let (_, rest) = html.split_once(r#"<a class="next" href=""#)?;
        Some(rest.split('"').next().unwrap().to_owned())
    };
    let (app_url, login_url) =
        (("APP_URL", "https://app.example.com"), ("LOGIN_URL", "https://app.example.com/in"));
    assert_eq!(link(&[]).await.as_deref(), Some("./"));
    assert_eq!(link(&[app_url]).await.as_deref(), Some("https://app.example.com"));
    assert_eq!(link(&[app_url, login_url]).await.as_deref(), Some("https://app.example.com/in"));
    assert_eq!(link(&[login_url]).await.as_deref(), Some("https://app.example.com/in"));
}

#[tokio::test]
async fn a_password_manager_finds_the_address_beside_a_new_password() {
    let app = App::start();
    for (path, content) in [
        ("/reset-password", r#"autocomplete="username""#),
        ("/confirm-email-change", r#"autocomplete="email""#),
    ] {
        let html = app.anyone().get(path).await.text();
        let field = html.lines().find(|line| line.contains(r#"id="email""#)).unwrap();
        assert!(field.contains(content), "{field}");
    }
}
