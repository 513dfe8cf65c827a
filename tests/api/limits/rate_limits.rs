//! Rate limits of requests, and budgets of mails and codes.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use reqwest::{Method, RequestBuilder};
use serde_json::json;

use crate::support::{
    App, PASSWORD,
    smtp::{Encryption, Manner, SmtpServer},
};

const LOGIN: &str = "/api/v1/auth/login";
const REGISTER: &str = "/api/v1/auth/register";
const RESEND: &str = "/api/v1/auth/confirm/resend";
const FORGOT: &str = "/api/v1/auth/password/forgot";

#[tokio::test]
async fn guesses_at_one_account_are_limited_whether_or_not_it_exists() {
    let app = App::with(&[("RATE_LIMITS", "on")]);
    app.register("ada@example.com").await;
    for email in ["ada@example.com", "bob@example.com"] {
        let spellings =
            [email.to_owned(), email.to_uppercase(), format!(" {email} "), email.replace('a', "ａ")];
        for spelling in spellings.iter().cycle().take(20) {
            let body = json!({"email": spelling, "password": "a wrong password"});
            app.anyone().post(LOGIN, &body).await.assert_problem(401, "invalid-credentials");
        }
        for spelling in &spellings {
            let body = json!({"email": spelling, "password": "a wrong password"});
            let refused = app.anyone().post(LOGIN, &body).await.assert_problem(429, "too-many-requests");
            let wait: u64 = refused.header("retry-after").parse().unwrap();
            assert!((1..=600).contains(&wait), "{wait} s");
        }
    }
}

#[tokio::test]
async fn one_address_is_limited_and_a_forged_header_does_not_help() {
    let app = App::with(&[("RATE_LIMITS", "on")]);
    let (begin, mut admitted) = (Instant::now(), 0);
    loop {
        let body = json!({"email": format!("u{admitted}@example.com"), "password": "a wrong password"});
        let forged = |request: RequestBuilder| {
            request.header("x-forwarded-for", format!("10.0.0.{}", admitted % 256)).json(&body)
        };
        let answer = app.anyone().send(Method::POST, LOGIN, forged).await;
        if answer.status == 429 {
            break;
        }
        answer.assert_problem(401, "invalid-credentials");
        admitted += 1;
        let earned = begin.elapsed().as_secs() / 3;
        assert!(admitted <= 100 + earned, "{admitted} guesses from one address");
    }
    assert!(admitted >= 100, "{admitted} guesses from one address");
}

/// Else a client could send any number of them, each of which is read and checked.
#[tokio::test]
async fn requests_with_an_invalid_body_count_against_the_limit_of_their_address() {
    let app = App::with(&[("RATE_LIMITS", "on")]);
    for _ in 0..100 {
        app.anyone().post(LOGIN, &json!({"email": 1})).await.assert_problem(422, "validation-failed");
    }
    let begin = Instant::now();
    let next = async || app.anyone().post(LOGIN, &json!({"email": 1})).await.status == 429;
    while !next().await {
        assert!(begin.elapsed() < Duration::from_mins(1), "never refused");
    }
}

#[tokio::test]
async fn behind_a_trusted_proxy_each_client_has_its_own_limit() {
    let app = App::with(&[("RATE_LIMITS", "on"), ("TRUSTED_PROXIES", "127.0.0.0/8")]);
    for n in 0..110 {
        let body = json!({"email": format!("u{n}@example.com"), "password": "a wrong password"});
        let proxied =
            |request: RequestBuilder| request.header("x-forwarded-for", format!("203.0.113.{n}")).json(&body);
        app.anyone().send(Method::POST, LOGIN, proxied).await.assert_problem(401, "invalid-credentials");
    }
}

#[tokio::test]
async fn codes_of_six_digits_are_limited_over_all_mails() {
    let app = App::with(&[("RATE_LIMITS", "on")]);
    let user = app.user().await;
    let mut statuses = Vec::new();
    for _ in 0..5 {
        app.clock.advance(Duration::from_mins(11));
        let user = app.login(&user.email).await;
        user.post("/api/v1/auth/password/change", &json!({"current_password": PASSWORD})).await;
        for _ in 0..5 {
            let body = json!({"code": "000000", "new_password": "a horse of another colour"});
            let answer = user.post("/api/v1/auth/password/change/confirm", &body).await;
            statuses.push(answer.status.as_u16());
        }
    }
    assert_eq!(statuses, [[422; 20].as_slice(), &[429; 5]].concat());
}

/// Six mails at once for all kinds of requests, then one in two hours. Requests that need no log-in leave
/// some of them for a new password.
#[tokio::test]
async fn an_address_gets_a_bounded_number_of_mails_over_all_requests_and_replicas() {
    let one = App::with(&[("RATE_LIMITS", "on"), ("REQUIRE_CONFIRMATION", "on")]);
    let two = one.replica();
    let ask = async |app: &App, path: &str| {
        let body = json!({"email": "ada@example.com", "password": PASSWORD});
        let email = json!({"email": "Ada@Example.com"});
        let body = if path == REGISTER { &body } else { &email };
        app.anyone().post(path, body).await.status.as_u16()
    };
    let statuses = [
        ask(&one, REGISTER).await,
        ask(&two, REGISTER).await,
        ask(&one, RESEND).await,
        ask(&two, REGISTER).await,
        ask(&one, RESEND).await,
    ];
    assert_eq!(statuses, [202, 202, 202, 429, 429], "three confirmations");
    assert_eq!([ask(&one, FORGOT).await, ask(&two, FORGOT).await, ask(&one, FORGOT).await], [202; 3]);
    assert_eq!(ask(&two, FORGOT).await, 429, "six mails in all");
    one.clock.advance(Duration::from_hours(2));
    assert_eq!([ask(&two, FORGOT).await, ask(&one, FORGOT).await], [202, 429]);
    let other = json!({"email": "bob@example.com"});
    one.anyone().post(FORGOT, &other).await.assert(202);
}

#[tokio::test]
async fn mails_that_strangers_request_do_not_use_up_the_owners_budget() {
    let app = App::with(&[("RATE_LIMITS", "on")]);
    let user = app.user().await;
    let email = json!({"email": user.email});
    for path in [FORGOT, FORGOT, FORGOT, FORGOT, RESEND, RESEND] {
        app.anyone().post(path, &email).await.assert(202);
    }
    app.anyone().post(FORGOT, &email).await.assert_problem(429, "too-many-requests");
    user.post("/api/v1/auth/password/change", &json!({"current_password": PASSWORD})).await.assert(202);
}

#[tokio::test]
async fn a_refused_registration_does_not_use_the_mail_budget() {
    let app = App::with(&[("RATE_LIMITS", "on"), ("REQUIRE_CONFIRMATION", "off")]);
    let taken = json!({"email": "bob@example.com", "password": PASSWORD, "username": "ada-1815"});
    app.anyone().post(REGISTER, &taken).await.assert(201);
    let strict = app.replica_with(&[("REQUIRE_CONFIRMATION", "on")]);
    let mut body = json!({"email": "ada@example.com", "password": PASSWORD, "username": "ada-1815"});
    for _ in 0..4 {
        strict.anyone().post(REGISTER, &body).await.assert_problem(409, "username-taken");
    }
    body["username"] = "ada-1816".into();
    strict.anyone().post(REGISTER, &body).await.assert(202);
}

/// Registering and deleting an account, or changing its address, must not be a way to send mails to others.
#[tokio::test]
async fn accompanying_mails_are_left_out_when_the_budget_of_the_address_is_used_up() {
    let server = SmtpServer::start(Encryption::None, Manner::Accept);
    let port = server.port.to_string();
    let app = App::with(&[
        ("RATE_LIMITS", "on"),
        ("REQUIRE_CONFIRMATION", "off"),
        ("MAIL_TRANSPORT", "smtp"),
        ("MAIL_SERVER", "127.0.0.1"),
        ("MAIL_PORT", &port),
        ("MAIL_SECURITY", "none"),
        ("MAIL_FROM", "no-reply@example.com"),
    ]);
    for _ in 0..5 {
        app.register("victim@example.com").await;
        app.idle().await;
        let account = app.login("victim@example.com").await;
        let body = |request: RequestBuilder| request.json(&json!({"password": PASSWORD}));
        account.send(Method::DELETE, "/api/v1/user", body).await.assert(204);
    }
    assert_eq!(server.received().len(), 3);
}

#[tokio::test]
async fn requests_of_a_user_are_limited_over_all_sessions() {
    let app = App::with(&[("RATE_LIMITS", "on")]);
    let user = app.user().await;
    let other = app.login(&user.email).await;
    let begin = Instant::now();
    let mut admitted = 0;
    let refused = loop {
        let client = if admitted % 2 == 0 { &user } else { &other };
        let answer = client.get("/api/v1/user").await;
        if answer.status == 429 {
            break answer;
        }
        answer.assert(200);
        admitted += 1;
        let earned = begin.elapsed().as_millis() / 100;
        assert!(admitted <= 300 + earned, "{admitted} requests of one user");
    };
    assert_eq!(refused.header("retry-after"), "1");
    user.get("/api/v1/coins").await.assert(200);
    app.user().await.get("/api/v1/user").await.assert(200);
}

#[tokio::test]
async fn refreshes_of_a_session_are_limited() {
    let app = App::with(&[("RATE_LIMITS", "on")]);
    let mut user = app.user().await;
    let (begin, mut admitted) = (Instant::now(), 0);
    while user.refresh().await.status == 200 {
        admitted += 1;
        assert!(admitted <= 120 + begin.elapsed().as_secs(), "{admitted} refreshes of one session");
    }
    assert!(admitted >= 120, "{admitted} refreshes");
    app.clock.advance(Duration::from_secs(1));
    user.refresh().await.assert(200);
}

/// One network floods the hashing queue; a log-in from elsewhere is served before what it has queued.
#[tokio::test]
async fn a_flood_of_one_network_does_not_keep_others_out() {
    let app = App::with(&[
        ("RATE_LIMITS", "on"),
        ("TRUSTED_PROXIES", "127.0.0.0/8"),
        ("BCRYPT_COST", "8"),
        ("HASH_THREADS", "1"),
    ]);
    app.register("ada@example.com").await;
    let flood = (0..100).map(async |number| {
        let body = json!({"email": format!("u{number}@example.com"), "password": "a wrong password"});
        app.anyone().at(&format!("192.0.2.{number}")).post(LOGIN, &body).await
    });
    let owner = async {
        let body = json!({"email": "ada@example.com", "password": PASSWORD});
        app.anyone().at("203.0.113.9").post(LOGIN, &body).await
    };
    let (answers, owner) = futures_util::future::join(join_all(flood), owner).await;
    owner.assert(200);
    for answer in answers {
        if answer.status == 503 {
            let answer = answer.assert_problem(503, "overloaded");
            assert!(["2", "3", "4"].contains(&answer.header("retry-after")));
        } else {
            answer.assert_problem(401, "invalid-credentials");
        }
    }
}
