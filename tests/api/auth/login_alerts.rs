//! Mails about log-ins from new devices, and what was done to an account from where.

use reqwest::Method;
use serde_json::json;

use crate::support::{App, Client, PASSWORD, Response};

const FIREFOX: &str = "Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0";
const CHROME: &str =
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 Chrome/141.0 Safari/537.36";
const SUBJECT: &str = "New log-in to your account";
const END: &str = "/api/v1/auth/session/end";

/// A server that believes 127.0.0.1 about the client's address.
fn start(settings: &[(&str, &str)]) -> App {
    App::with(&[&[("TRUSTED_PROXIES", "127.0.0.0/8")], settings].concat())
}

async fn log_in(app: &App, email: &str, address: &str, user_agent: &str) -> Client {
    let mut client = app.anyone().at(address);
    let body = json!({"email": email, "password": PASSWORD});
    let answer: Response = client
        .send(Method::POST, "/api/v1/auth/login", |request| {
            request.header("user-agent", user_agent).json(&body)
        })
        .await;
    client.take(&answer.assert(200).json());
    client
}

/// A confirmed user who has logged in once at home.
async fn owner(app: &App, email: &str) -> Client {
    app.register(email).await;
    let mut client = log_in(app, email, "198.51.100.7", FIREFOX).await;
    let id = client.get("/api/v1/user").await.assert(200).json()["id"].as_str().unwrap().to_owned();
    (client.id, client.email) = (id, email.to_owned());
    app.update_user(&client, "email_confirmed_at = now()");
    client
}

async fn alerts(app: &App, email: &str) -> usize {
    app.mails_to(email).await.iter().filter(|mail| mail.subject == SUBJECT).count()
}

#[tokio::test]
async fn a_log_in_from_a_new_device_is_mailed_and_its_link_ends_that_session_only() {
    let app = start(&[]);
    let owner = owner(&app, "ada@example.com").await;
    assert_eq!(alerts(&app, &owner.email).await, 0, "the first log-in is no news");

    let thief = log_in(&app, &owner.email, "203.0.113.9", CHROME).await;
    let mail = app.mail_to(&owner.email).await;
    assert_eq!(mail.subject, SUBJECT);
    for words in ["203.0.113.9", "Chrome on Windows", "UTC", "http://mintage.test/end-session#token="] {
        assert!(mail.text.contains(words) && mail.html.contains(words), "{words}: {}", mail.text);
    }
    assert!(!mail.text.contains(PASSWORD) && !mail.text.contains(thief.token()));

    // A scanner that opens the link ends nothing.
    app.anyone().get("/end-session").await.assert(200);
    thief.get("/api/v1/user").await.assert(200);

    let token = json!({"token": mail.token()});
    app.anyone().post(END, &token).await.assert(204);
    thief.get("/api/v1/user").await.assert_problem(401, "token-revoked");
    owner.get("/api/v1/user").await.assert(200);
    app.anyone().post(END, &token).await.assert_problem(422, "invalid-code");
    let events = owner.get("/api/v1/user/events").await.assert(200).json();
    assert_eq!(events["data"][0]["kind"], "session-ended");
}

#[tokio::test]
async fn a_mail_about_a_session_that_has_ended_with_the_account_speaks_of_no_link() {
    let app = start(&[]);
    let owner = owner(&app, "ada@example.com").await;
    app.idle().await;
    let off = app.replica_with(&[("MAIL_TRANSPORT", "off")]);
    drop(app);
    let device = log_in(&off, &owner.email, "203.0.113.9", CHROME).await;
    off.idle().await;
    let body = json!({"password": PASSWORD});
    device.send(Method::DELETE, "/api/v1/user", |request| request.json(&body)).await.assert(204);
    off.idle().await;
    let on = off.replica_with(&[("MAIL_TRANSPORT", "file")]);
    drop(off);
    let admin = on.admin().await;
    let dead = admin.get("/api/v1/admin/jobs?state=dead").await.assert(200).json();
    let of_log_in =
        dead["data"].as_array().unwrap().iter().find(|job| job["kind"] == "mail-session").unwrap();
    let retry = format!("/api/v1/admin/jobs/{}/retry", of_log_in["id"].as_str().unwrap());
    admin.post_empty(&retry).await.assert(200);
    let mail = on.mail_to(&owner.email).await;
    assert_eq!(mail.subject, SUBJECT);
    assert!(!mail.text.contains("end-session") && !mail.text.contains("The link works"), "{}", mail.text);
}

#[tokio::test]
async fn a_device_is_known_by_network_and_program_together() {
    let app = start(&[]);
    let owner = owner(&app, "ada@example.com").await;
    for (address, user_agent, mails) in [
        ("198.51.100.200", FIREFOX, 0), // the same network
        ("203.0.113.9", FIREFOX, 1),    // a thief can choose the program
        ("203.0.113.77", FIREFOX, 0),
        ("198.51.100.7", CHROME, 1),
        ("198.51.100.7", CHROME, 0),
        ("2001:db8:1:2::1", FIREFOX, 1),
        ("2001:db8:1:ffff::2", FIREFOX, 0), // the same /48
    ] {
        log_in(&app, &owner.email, address, user_agent).await;
        assert_eq!(alerts(&app, &owner.email).await, mails, "{address} {user_agent}");
    }
}

#[tokio::test]
async fn alerts_have_a_budget_that_strangers_cannot_use_up() {
    let app = start(&[("RATE_LIMITS", "on")]);
    let owner = owner(&app, "ada@example.com").await;
    // A stranger uses up all mails that can be requested.
    for _ in 0..8 {
        let body = json!({"email": owner.email});
        app.anyone().at("192.0.2.1").post("/api/v1/auth/password/forgot", &body).await;
    }
    for n in 0..9 {
        log_in(&app, &owner.email, &format!("203.0.{n}.9"), CHROME).await;
    }
    assert_eq!(alerts(&app, &owner.email).await, 5);
    app.clock.advance(std::time::Duration::from_hours(4));
    log_in(&app, &owner.email, "203.0.99.9", CHROME).await;
    assert_eq!(alerts(&app, &owner.email).await, 1);
}

#[tokio::test]
async fn an_alert_goes_to_the_address_of_the_log_in_though_the_account_is_deleted_or_moved() {
    let app = start(&[]);
    let owner = owner(&app, "ada@example.com").await;
    let thief = log_in(&app, &owner.email, "203.0.113.9", CHROME).await;
    let body = json!({"password": PASSWORD});
    thief.send(Method::DELETE, "/api/v1/user", |request| request.json(&body)).await.assert(204);
    let mails = app.mails_to(&owner.email).await;
    let subjects: Vec<&str> = mails.iter().map(|mail| mail.subject.as_str()).collect();
    assert!(subjects.contains(&SUBJECT), "{subjects:?}");

    let moved = self::owner(&app, "bob@example.com").await;
    let thief = log_in(&app, &moved.email, "203.0.113.9", CHROME).await;
    let token = app.mail_to(&moved.email).await.token();
    let change = json!({"new_email": "thief@example.com", "password": PASSWORD});
    thief.post("/api/v1/auth/email/change", &change).await.assert(202);
    let code = json!({"token": app.mail_to("thief@example.com").await.token()});
    app.anyone().at("203.0.113.9").post("/api/v1/auth/email/change/confirm", &code).await.assert(200);
    let undo = app.mail_to(&moved.email).await;
    assert!(undo.text.contains("IP address: 203.0.113.9\nDevice: "), "{}", undo.text);
    app.anyone().post(END, &json!({"token": token})).await.assert(204);
    thief.get("/api/v1/user").await.assert_problem(401, "token-revoked");
}

#[tokio::test]
async fn unconfirmed_addresses_get_no_alert_and_the_setting_turns_alerts_off() {
    let app = start(&[]);
    app.register("ada@example.com").await;
    for address in ["198.51.100.7", "203.0.113.9"] {
        log_in(&app, "ada@example.com", address, FIREFOX).await;
    }
    assert_eq!(alerts(&app, "ada@example.com").await, 0);

    let app = start(&[("LOGIN_ALERTS", "off")]);
    let owner = owner(&app, "bob@example.com").await;
    log_in(&app, &owner.email, "203.0.113.9", CHROME).await;
    assert_eq!(alerts(&app, &owner.email).await, 0);
}

#[tokio::test]
async fn a_new_password_is_mailed_with_its_origin_and_forgets_all_devices_but_that_one() {
    let app = start(&[]);
    let owner = owner(&app, "ada@example.com").await;
    let body = json!({"email": owner.email});
    app.anyone().post("/api/v1/auth/password/forgot", &body).await.assert(202);
    let token = app.mail_to(&owner.email).await.token();
    let body = json!({"token": token, "new_password": PASSWORD.to_owned() + " again"});
    let reset = app.anyone().at("192.0.2.44");
    reset
        .send(Method::POST, "/api/v1/auth/password/reset", |request| {
            request.header("user-agent", FIREFOX).json(&body)
        })
        .await
        .assert(204);
    let notice = app.mail_to(&owner.email).await;
    assert!(notice.text.contains("IP address: 192.0.2.44\nDevice: Firefox on Linux\n"), "{}", notice.text);
    assert_eq!(app.count("SELECT count(*) FROM login_devices WHERE network <<= '198.51.100.0/24'"), 0);
    assert_eq!(app.count("SELECT count(*) FROM login_devices WHERE network <<= '192.0.2.0/24'"), 1);
}

#[tokio::test]
async fn the_devices_of_a_user_are_bounded_and_forgotten() {
    let app = start(&[]);
    let owner = owner(&app, "ada@example.com").await;
    for n in 0..60 {
        log_in(&app, &owner.email, &format!("203.0.{n}.9"), CHROME).await;
    }
    assert_eq!(app.count("SELECT count(*) FROM login_devices"), 50);
    app.clock.advance(std::time::Duration::from_hours(24 * 91));
    crate::support::eventually("old devices are deleted", async || {
        app.count("SELECT count(*) FROM login_devices") == 0
    })
    .await;
}
