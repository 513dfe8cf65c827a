//! Registration with `REQUIRE_CONFIRMATION`.

use std::time::Duration;

use diesel::{RunQueryDsl, sql_query, sql_types};
use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::support::{
    App, PASSWORD, ParsedMail, Response, assert_waits_without_challenge, eventually,
    smtp::{Encryption, Manner, SmtpServer},
};

const REGISTER: &str = "/api/v1/auth/register";
const LOGIN: &str = "/api/v1/auth/login";
const CONFIRM: &str = "/api/v1/auth/confirm";
const RESEND: &str = "/api/v1/auth/confirm/resend";
const ADA: &str = "ada@example.com";

fn strict() -> App {
    App::with(&[("REQUIRE_CONFIRMATION", "on")])
}

async fn register(app: &App, email: &str, password: &str) -> Response {
    app.anyone().post(REGISTER, &json!({"email": email, "password": password})).await.assert(202)
}

async fn login(app: &App, email: &str, password: &str) -> Response {
    app.anyone().post(LOGIN, &json!({"email": email, "password": password})).await
}

/// Confirms with [`PASSWORD`].
async fn confirm(app: &App, mut proof: Value) -> Response {
    proof["password"] = PASSWORD.into();
    app.anyone().post(CONFIRM, &proof).await
}

/// All that a client sees of an answer except what always differs, such as the date.
fn seen(answer: &Response) -> (u16, Vec<String>, Vec<u8>) {
    let mut names: Vec<_> = answer.headers.keys().map(|name| name.as_str().to_owned()).collect();
    names.sort();
    (answer.status.as_u16(), names, answer.body.clone())
}

#[tokio::test]
async fn the_link_in_the_mail_creates_the_account() {
    let app = strict();
    let body = json!({"email": "Ada@example.com", "password": PASSWORD, "name": "Ada", "username": "ada"});
    let answer = app.anyone().post(REGISTER, &body).await.assert(202);
    assert!(answer.body.is_empty());
    login(&app, ADA, PASSWORD).await.assert_problem(403, "email-unconfirmed");
    login(&app, ADA, "a wrong password").await.assert_problem(401, "invalid-credentials");
    let by_name = json!({"username": "ada", "password": PASSWORD});
    app.anyone().post(LOGIN, &by_name).await.assert_problem(403, "email-unconfirmed");

    let mail = app.mail_to("Ada@example.com").await;
    assert!(mail.link().starts_with("http://mintage.test/confirm#token="), "{}", mail.link());
    let answer = confirm(&app, json!({"token": mail.token()})).await.assert(200);
    assert_eq!(answer.json(), json!({"email": "Ada@example.com"}));
    confirm(&app, json!({"token": mail.token()})).await.assert(200);

    let user = app.login(ADA).await.get("/api/v1/user").await.json();
    assert_eq!((&user["name"], &user["username"]), (&json!("Ada"), &json!("ada")));
    assert_eq!(user["email_confirmed"], true);
}

#[tokio::test]
async fn the_code_works_too_for_any_spelling_of_the_address() {
    let app = strict();
    register(&app, ADA, PASSWORD).await;
    let code = app.mail_to(ADA).await.code();
    for email in ["ADA@example.com", ADA] {
        confirm(&app, json!({"email": email, "code": code})).await.assert(200);
    }
    app.login(ADA).await;
}

#[tokio::test]
async fn registering_is_answered_alike_for_a_new_an_unconfirmed_and_a_known_address() {
    let app = strict();
    let new = register(&app, ADA, PASSWORD).await;
    let unconfirmed = register(&app, ADA, PASSWORD).await;
    let mails = app.mails_to(ADA).await;
    assert_eq!(mails.len(), 2);
    confirm(&app, json!({"token": mails[1].token()})).await.assert(200);
    let known = register(&app, ADA, "another good password").await;
    assert_eq!(seen(&new), seen(&unconfirmed));
    assert_eq!(seen(&new), seen(&known));

    let notice = app.mail_to(ADA).await;
    assert_eq!(notice.subject, "You already have an account");
    assert!(!notice.text.contains("token="));
    assert_eq!(app.count("SELECT count(*) FROM users"), 1);
}

/// Otherwise the 403 after registering an address would reveal whether it had an account before.
#[tokio::test]
async fn a_known_address_gets_the_same_403_as_a_new_one() {
    let app = strict();
    register(&app, ADA, PASSWORD).await;
    confirm(&app, json!({"token": app.mail_to(ADA).await.token()})).await.assert(200);
    for email in [ADA, "new@example.com"] {
        register(&app, email, "the curious one's password").await;
        app.idle().await;
        login(&app, email, "the curious one's password").await.assert_problem(403, "email-unconfirmed");
        login(&app, email, "a wrong password").await.assert_problem(401, "invalid-credentials");
    }
    app.login(ADA).await;
}

#[tokio::test]
async fn tries_and_confirmations_of_one_address_at_once_do_not_stop_each_other() {
    let app = strict();
    for round in 0..10 {
        let email = format!("ada{round}@example.com");
        for number in 0..4 {
            register(&app, &email, &format!("{PASSWORD} {number}")).await;
        }
        let mails = app.mails_to(&email).await;
        let wrong = (0..1_000_000).map(|code| format!("{code:08}"));
        let wrong = wrong.filter(|code| mails.iter().all(|mail| mail.code() != *code)).take(3);
        let codes: Vec<_> = mails.iter().map(ParsedMail::code).chain(wrong).collect();
        let clients: Vec<_> = codes.iter().map(|_| app.anyone()).collect();
        let proofs: Vec<_> =
            codes.iter().map(|code| json!({"email": email, "code": code, "password": PASSWORD})).collect();
        let asked = clients.iter().zip(&proofs).map(|(client, proof)| client.post(CONFIRM, proof));
        let answers = join_all(asked).await;
        let count = |status| answers.iter().filter(|answer| answer.status == status).count();
        assert_eq!(
            (count(200), count(422)),
            (1, 6),
            "{:?}",
            answers.iter().map(|one| one.status).collect::<Vec<_>>()
        );
    }
}

#[tokio::test]
async fn registering_again_with_the_same_password_keeps_it() {
    let app = strict();
    for _ in 0..3 {
        register(&app, ADA, PASSWORD).await;
    }
    let mails = app.mails_to(ADA).await;
    confirm(&app, json!({"token": mails[1].token()})).await.assert(200);
    app.login(ADA).await;
    assert!(app.mails_to(ADA).await.is_empty());
}

/// A job that the mail server delayed runs after a newer one.
#[tokio::test]
async fn a_late_mail_does_not_replace_a_newer_one() {
    let app = strict();
    register(&app, ADA, PASSWORD).await;
    let mail = app.mail_to(ADA).await;
    enqueue_late(&app, "mail-confirmation", ADA);
    assert!(app.mails_to(ADA).await.is_empty());
    confirm(&app, json!({"token": mail.token()})).await.assert(200);

    app.anyone().post("/api/v1/auth/password/forgot", &json!({"email": ADA})).await.assert(202);
    let mail = app.mail_to(ADA).await;
    enqueue_late(&app, "mail-password-reset", ADA);
    assert!(app.mails_to(ADA).await.is_empty());
    let body = json!({"token": mail.token(), "new_password": "a horse of another colour"});
    app.anyone().post("/api/v1/auth/password/reset", &body).await.assert(204);
}

fn enqueue_late(app: &App, kind: &str, email: &str) {
    let insert = "INSERT INTO jobs (id, kind, payload, max_attempts, due_at, created_at) \
                  VALUES ('01900000-0000-7000-8000-000000000000', $1, $2, 30, now(), now())";
    sql_query(insert)
        .bind::<sql_types::Text, _>(kind)
        .bind::<sql_types::Jsonb, _>(json!({"email": email}))
        .execute(&mut app.sql())
        .unwrap();
}

#[tokio::test]
async fn the_right_code_may_be_sent_again_and_again() {
    let app = strict();
    register(&app, ADA, PASSWORD).await;
    let code = app.mail_to(ADA).await.code();
    for _ in 0..10 {
        confirm(&app, json!({"email": ADA, "code": code})).await.assert(200);
    }
}

/// Another account has changed to the address before its registration was confirmed.
#[tokio::test]
async fn a_code_for_an_address_taken_meanwhile_is_an_error_of_the_code() {
    let app = strict();
    register(&app, "bob@example.com", PASSWORD).await;
    confirm(&app, json!({"token": app.mail_to("bob@example.com").await.token()})).await.assert(200);
    let bob = app.login("bob@example.com").await;
    register(&app, ADA, PASSWORD).await;
    let code = app.mail_to(ADA).await.code();
    let change = json!({"new_email": ADA, "password": PASSWORD});
    bob.post("/api/v1/auth/email/change", &change).await.assert(202);
    let token = app.mail_to(ADA).await.token();
    bob.post("/api/v1/auth/email/change/confirm", &json!({"token": token})).await.assert(200);
    let refused =
        confirm(&app, json!({"email": ADA, "code": code})).await.assert_problem(422, "invalid-code");
    assert_eq!(refused.json()["errors"][0]["pointer"], "/code");
}

#[tokio::test]
async fn a_registration_reserves_no_username() {
    let app = strict();
    let body = |email, username| json!({"email": email, "password": PASSWORD, "username": username});
    app.anyone().post(REGISTER, &body("squatter@example.com", "ada")).await.assert(202);
    app.anyone().post(REGISTER, &body(ADA, "ADA")).await.assert(202);
    let squatter = app.mail_to("squatter@example.com").await;
    confirm(&app, json!({"token": app.mail_to(ADA).await.token()})).await.assert(200);
    for email in [ADA, "third@example.com"] {
        app.anyone().post(REGISTER, &body(email, "ada")).await.assert_problem(409, "username-taken");
    }
    // The later one gets an account without the username.
    confirm(&app, json!({"token": squatter.token()})).await.assert(200);
    let user = app.login("squatter@example.com").await.get("/api/v1/user").await.json();
    assert_eq!(user["username"], Value::Null);
}

#[tokio::test]
async fn a_link_works_for_24_hours_and_a_code_for_10_minutes() {
    let app = strict();
    register(&app, ADA, PASSWORD).await;
    let mail = app.mail_to(ADA).await;
    app.clock.advance(Duration::from_mins(11));
    confirm(&app, json!({"email": ADA, "code": mail.code()})).await.assert_problem(422, "invalid-code");
    app.clock.advance(Duration::from_hours(24));
    confirm(&app, json!({"token": mail.token()})).await.assert_problem(422, "invalid-code");
    app.anyone().post(RESEND, &json!({"email": ADA})).await.assert(202);
    confirm(&app, json!({"token": app.mail_to(ADA).await.token()})).await.assert(200);
}

/// Several people may have registered the address: the time shows which registration is one's own.
#[tokio::test]
async fn a_repeated_mail_states_when_the_account_was_requested() {
    let app = strict();
    register(&app, ADA, PASSWORD).await;
    let asked = |mail: &ParsedMail| {
        mail.text.split(" UTC").next().unwrap().rsplit("Requested: ").next().unwrap().to_owned()
    };
    let first = asked(&app.mail_to(ADA).await);
    app.clock.advance(Duration::from_hours(1));
    app.anyone().post(RESEND, &json!({"email": ADA})).await.assert(202);
    assert_eq!(asked(&app.mail_to(ADA).await), first);
}

#[tokio::test]
async fn a_newer_mail_replaces_the_one_before() {
    let app = strict();
    register(&app, ADA, PASSWORD).await;
    let first = app.mail_to(ADA).await;
    app.anyone().post(RESEND, &json!({"email": ADA})).await.assert(202);
    let second = app.mail_to(ADA).await;
    confirm(&app, json!({"token": first.token()})).await.assert_problem(422, "invalid-code");
    confirm(&app, json!({"token": second.token()})).await.assert(200);
}

#[tokio::test]
async fn resending_is_answered_alike_for_every_address() {
    let app = strict();
    register(&app, ADA, PASSWORD).await;
    confirm(&app, json!({"token": app.mail_to(ADA).await.token()})).await.assert(200);
    register(&app, "pending@example.com", PASSWORD).await;
    app.mail_to("pending@example.com").await;
    let mut answers = Vec::new();
    for email in [ADA, "pending@example.com", "nobody@example.com"] {
        answers.push(seen(&app.anyone().post(RESEND, &json!({"email": email})).await.assert(202)));
    }
    assert!(answers.iter().all(|answer| *answer == answers[0]), "{answers:?}");
    assert_eq!(app.mails_to("pending@example.com").await.len(), 1);
    assert_eq!(app.mails_to(ADA).await.len() + app.mails_to("nobody@example.com").await.len(), 0);
}

#[tokio::test]
async fn the_sixth_try_is_refused_even_with_the_right_code() {
    let app = strict();
    register(&app, ADA, PASSWORD).await;
    let right = app.mail_to(ADA).await;
    let wrong = if right.code() == "00000000" { "00000001" } else { "00000000" };
    let guess = |code: &str| json!({"email": ADA, "code": code});
    let mut answers = Vec::new();
    for _ in 0..5 {
        answers.push(confirm(&app, guess(wrong)).await.assert_problem(422, "invalid-code"));
    }
    answers.push(confirm(&app, guess(&right.code())).await.assert_problem(422, "invalid-code"));
    let unknown = json!({"email": "nobody@example.com", "code": wrong});
    answers.push(confirm(&app, unknown).await.assert_problem(422, "invalid-code"));
    let body = |answer: &Response| {
        let mut body = answer.json();
        body.as_object_mut().unwrap().remove("request_id");
        body
    };
    assert!(answers.iter().all(|answer| body(answer) == body(&answers[0])));
    // Strangers cannot lock the owner out: the link still works.
    confirm(&app, json!({"token": right.token()})).await.assert(200);
}

#[tokio::test]
async fn twenty_parallel_tries_count_as_twenty() {
    let app = strict();
    register(&app, ADA, PASSWORD).await;
    let mail = app.mail_to(ADA).await;
    let wrong = if mail.code() == "00000000" { "00000001" } else { "00000000" };
    let guess = json!({"email": ADA, "code": wrong});
    let clients: Vec<_> = (0..20).map(|_| app.anyone()).collect();
    let answers = join_all(clients.iter().map(|client| client.post_until_served(CONFIRM, &guess))).await;
    assert!(answers.iter().all(|answer| answer.status == 422));
    confirm(&app, json!({"email": ADA, "code": mail.code()})).await.assert_problem(422, "invalid-code");
    assert_eq!(app.count("SELECT tries::bigint AS count FROM challenges"), 5);
}

#[tokio::test]
async fn parallel_confirmations_make_one_account() {
    let app = strict();
    register(&app, ADA, PASSWORD).await;
    let proof = json!({"token": app.mail_to(ADA).await.token(), "password": PASSWORD});
    let clients: Vec<_> = (0..10).map(|_| app.anyone()).collect();
    let answers = join_all(clients.iter().map(|client| client.post_until_served(CONFIRM, &proof))).await;
    assert!(answers.iter().all(|answer| answer.status == 200), "the same answer to all");
    assert_eq!(app.count("SELECT count(*) FROM users"), 1);

    let bob = "bob@example.com";
    for n in 0..5 {
        register(&app, bob, &format!("{PASSWORD} {n}")).await;
    }
    let proof = |mail: &ParsedMail| json!({"token": mail.token(), "password": PASSWORD});
    let proofs: Vec<_> = app.mails_to(bob).await.iter().map(proof).collect();
    let answers = join_all(clients.iter().zip(&proofs).map(|(client, proof)| client.post(CONFIRM, proof)));
    let confirmed = answers.await.iter().filter(|answer| answer.status == 200).count();
    assert_eq!((proofs.len(), confirmed), (5, 1), "of different registrations one");
    assert_eq!(app.count("SELECT count(*) FROM users"), 2);
}

/// Otherwise the mail and a confirmation, which locks the registration first, would deadlock.
#[tokio::test]
async fn a_mail_that_waits_for_the_registration_holds_no_challenge() {
    let app = strict();
    register(&app, ADA, PASSWORD).await;
    app.mail_to(ADA).await;
    app.idle().await;
    let (anyone, email) = (app.anyone(), json!({"email": ADA}));
    assert_waits_without_challenge(&app, "registrations", anyone.post(RESEND, &email)).await;
}

#[tokio::test]
async fn a_get_request_does_not_use_up_the_link() {
    let app = strict();
    register(&app, ADA, PASSWORD).await;
    let mail = app.mail_to(ADA).await;
    let path = mail.link().replace("http://mintage.test", "").replace('#', "?");
    for _ in 0..3 {
        app.anyone().get(&path).await.assert(200);
    }
    app.anyone().get(&format!("{CONFIRM}?token={}", mail.token())).await.assert(405);
    login(&app, ADA, PASSWORD).await.assert_problem(403, "email-unconfirmed");
    confirm(&app, json!({"token": mail.token()})).await.assert(200);
}

#[tokio::test]
async fn the_database_holds_neither_tokens_nor_codes_of_mails() {
    let app = strict();
    register(&app, ADA, PASSWORD).await;
    let mail = app.mail_to(ADA).await;
    let query = format!(
        "SELECT (SELECT count(*) FROM challenges c WHERE to_jsonb(c)::text ~ '{0}|\"{1}\"') + \
         (SELECT count(*) FROM jobs j WHERE to_jsonb(j)::text ~ '{0}|\"{1}\"') AS count",
        mail.token(),
        mail.code()
    );
    assert_eq!(app.count(&query), 0);
    assert!(mail.token().len() >= 43);
}

#[tokio::test]
async fn a_proof_is_a_token_or_an_address_with_a_code() {
    let app = strict();
    for body in [json!({}), json!({"email": ADA}), json!({"code": "K7QM2XPA"})] {
        confirm(&app, body).await.assert_invalid("/token", "token-or-code");
    }
    let both = json!({"token": "x", "email": ADA, "code": "K7QM2XPA"});
    confirm(&app, both).await.assert_invalid("/token", "token-or-code");
    for code in ["", "K7QM2XP", "K7QM2XPA1", "K7QM2XPU", "Ｋ7QM2XPA", "K7QM----2XPA-----"] {
        confirm(&app, json!({"email": ADA, "code": code})).await.assert_invalid("/code", "code");
    }
    confirm(&app, json!({"token": "x".repeat(129)})).await.assert_invalid("/token", "length");
    confirm(&app, json!({"token": "x"})).await.assert_problem(422, "invalid-code");
}

#[tokio::test]
async fn without_the_requirement_an_account_is_usable_at_once_and_can_be_confirmed_later() {
    let app = App::start();
    let ada = app.user().await;
    assert_eq!(ada.get("/api/v1/user").await.json()["email_confirmed"], false);
    app.anyone().post(RESEND, &json!({"email": ada.email})).await.assert(202);
    let mail = app.mail_to(&ada.email).await;
    for _ in 0..2 {
        confirm(&app, json!({"token": mail.token()})).await.assert(200);
    }
    assert_eq!(ada.get("/api/v1/user").await.json()["email_confirmed"], true);

    let password = json!({"password": PASSWORD});
    let delete = |request: reqwest::RequestBuilder| request.json(&password);
    ada.send(reqwest::Method::DELETE, "/api/v1/user", delete).await.assert(204);
    confirm(&app, json!({"token": mail.token()})).await.assert_problem(422, "invalid-code");
}

#[tokio::test]
async fn unconfirmed_registrations_are_deleted() {
    let app = strict();
    register(&app, ADA, PASSWORD).await;
    app.mail_to(ADA).await;
    app.clock.advance(Duration::from_hours(8 * 24));
    let _housekeeper = app.replica();
    eventually("both rows are gone", async || {
        app.count("SELECT (SELECT count(*) FROM challenges) + (SELECT count(*) FROM registrations) AS count")
            == 0
    })
    .await;
    login(&app, ADA, PASSWORD).await.assert_problem(401, "invalid-credentials");
}

/// With SMTP settings confirmation is required by default.
#[tokio::test]
async fn a_mail_server_that_is_away_delays_no_request_and_loses_no_mail() {
    // The port is bound, and so reserved, but refuses connections until a server listens.
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let port = socket.local_addr().unwrap().port();
    let app = App::with(&[
        ("MAIL_TRANSPORT", "smtp"),
        ("MAIL_SERVER", "127.0.0.1"),
        ("MAIL_PORT", &port.to_string()),
        ("MAIL_SECURITY", "none"),
        ("MAIL_FROM", "no-reply@mintage.test"),
    ]);
    register(&app, ADA, PASSWORD).await;
    login(&app, ADA, PASSWORD).await.assert_problem(403, "email-unconfirmed");
    let failed = "SELECT count(*) FROM jobs WHERE attempts > 0 AND state = 'waiting'";
    eventually("a failed attempt", async || app.count(failed) == 1).await;

    // It accepts connections again but stays silent: requests are answered while the mail waits.
    let server = SmtpServer::start_on(socket, Encryption::None, Manner::Silence);
    app.clock.advance(Duration::from_mins(5));
    eventually("the second attempt", async || server.connections() > 0).await;
    register(&app, "bob@example.com", PASSWORD).await;
    assert!(server.received().is_empty());

    server.behave(Manner::Accept);
    eventually("both mails", async || {
        app.clock.advance(Duration::from_mins(1));
        let received = server.received();
        [ADA, "bob@example.com"].iter().all(|to| received.iter().any(|mail| mail.to == *to))
    })
    .await;
    let mail = server.received().into_iter().find(|received| received.to == ADA).unwrap().mail;
    confirm(&app, json!({"token": mail.token()})).await.assert(200);
    app.login(ADA).await;
    assert_eq!(app.count("SELECT count(*) FROM users"), 1);
}
