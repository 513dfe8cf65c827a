//! `/.well-known/security.txt` and `/.well-known/change-password`.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

use crate::support::{App, PUBLIC_URL};

#[tokio::test]
async fn security_txt_names_the_contacts_and_expires_within_a_year() {
    let contacts = "mailto:security@example.com, https://example.com/report";
    let app = App::with(&[("SECURITY_CONTACT", contacts)]);
    let response = app.anyone().get("/.well-known/security.txt").await.assert(200);
    assert_eq!(response.header("content-type"), "text/plain; charset=utf-8");
    let text = response.text();
    let field = |name: &str| -> Vec<String> {
        let prefix = format!("{name}: ");
        text.lines().filter_map(|line| line.strip_prefix(&prefix)).map(str::to_owned).collect()
    };
    assert_eq!(field("Contact"), ["mailto:security@example.com", "https://example.com/report"]);
    assert_eq!(field("Canonical"), [format!("{PUBLIC_URL}/.well-known/security.txt")]);
    assert_eq!(field("Preferred-Languages"), ["en"]);
    let expires = field("Expires");
    assert_eq!(expires.len(), 1, "exactly one is required: {text}");
    let expires: DateTime<Utc> = expires[0].parse().unwrap();
    let left = expires - app.clock.now();
    assert!(left > TimeDelta::days(100) && left < TimeDelta::days(365), "{left}");
    // The date moves on, so a server that runs for a year still has a valid file.
    app.clock.advance(Duration::from_hours(24 * 300));
    let later = app.anyone().get("/.well-known/security.txt").await.assert(200).text();
    assert_ne!(later, text);
}

#[tokio::test]
async fn without_a_contact_there_is_no_security_txt_and_other_names_are_unknown_too() {
    let app = App::start();
    // Password managers ask for the last one to find out whether a 404 can be relied on.
    for name in [
        "security.txt",
        "",
        "openid-configuration",
        "resource-that-should-not-exist-whose-status-code-should-not-be-200",
    ] {
        app.anyone().get(&format!("/.well-known/{name}")).await.assert_problem(404, "not-found");
    }
}

#[tokio::test]
async fn the_page_for_changing_a_password_is_found() {
    let there = async |settings: &[(&str, &str)]| {
        let app = App::with(settings);
        let response = app.anyone().get("/.well-known/change-password").await.assert(303);
        response.header("location").to_owned()
    };
    assert_eq!(there(&[]).await, format!("{PUBLIC_URL}/reset-password"));
    let app_url = ("APP_URL", "https://app.example.com");
    assert_eq!(there(&[app_url]).await, "https://app.example.com/reset-password");
    let own = ("CHANGE_PASSWORD_URL", "https://app.example.com/settings/password");
    assert_eq!(there(&[app_url, own]).await, own.1);
}
