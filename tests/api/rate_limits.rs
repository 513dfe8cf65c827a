use std::time::Instant;

use reqwest::{Method, RequestBuilder};
use serde_json::json;

use crate::support::{App, PASSWORD};

const LOGIN: &str = "/api/v1/auth/login";

#[tokio::test]
async fn guesses_at_one_account_are_limited_whether_or_not_it_exists() {
    let app = App::with(&[("RATE_LIMITS", "on")]);
    app.register("ada@example.com").await;
    for email in ["ada@example.com", "bob@example.com"] {
        let (begin, mut admitted) = (Instant::now(), 0);
        for spelling in
            [email.to_owned(), email.to_uppercase(), format!(" {email} "), email.replace('a', "ａ")]
        {
            let body = json!({"email": spelling, "password": "a wrong password"});
            let refused = loop {
                let answer = app.anyone().post(LOGIN, &body).await;
                if answer.status == 429 {
                    break answer.assert_problem(429, "too-many-requests");
                }
                answer.assert_problem(401, "invalid-credentials");
                admitted += 1;
                let earned = begin.elapsed().as_secs() / 15;
                assert!(admitted <= 20 + earned, "{admitted} guesses at {email}");
            };
            assert!(admitted >= 20, "{admitted} guesses at {email}");
            assert!(refused.header("retry-after").parse::<u64>().unwrap() >= 1);
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
async fn guesses_at_the_codes_of_one_address_are_limited_whichever_account_wants_it() {
    let app = App::with(&[("RATE_LIMITS", "on")]);
    let mut statuses = Vec::new();
    for _ in 0..5 {
        let user = app.user().await;
        let change = json!({"new_email": "ada@example.com", "password": PASSWORD});
        user.post("/api/v1/auth/email/change", &change).await.assert(202);
        let mail = app.mail_to("ada@example.com").await;
        let wrong = if mail.code() == "000000" { "000001" } else { "000000" };
        for _ in 0..5 {
            let answer = user.post("/api/v1/auth/email/change/confirm", &json!({"code": wrong})).await;
            statuses.push(answer.status.as_u16());
        }
    }
    assert_eq!(statuses, [[422; 20].as_slice(), &[429; 5]].concat());
}
