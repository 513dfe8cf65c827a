//! Changing the address of an account, and undoing the change.

use std::time::Duration;

use futures_util::future::join_all;
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};

use crate::support::{App, Client, PASSWORD, ParsedMail, Response, eventually};

const CHANGE: &str = "/api/v1/auth/email/change";
const CONFIRM: &str = "/api/v1/auth/email/change/confirm";
const UNDO: &str = "/api/v1/auth/email/change/undo";
const REGISTER: &str = "/api/v1/auth/register";
const NEW: &str = "new@example.com";

async fn ask(client: &Client, new: &str) -> Response {
    client.post(CHANGE, &json!({"new_email": new, "password": PASSWORD})).await
}

/// Changes the address and returns the mail to the old one.
async fn change(app: &App, client: &Client, new: &str) -> ParsedMail {
    let old = email_of(client).await;
    ask(client, new).await.assert(202);
    confirm(app, json!({"token": app.mail_to(new).await.token()})).await.assert(200);
    app.mail_to(&old).await
}

async fn confirm(app: &App, proof: Value) -> Response {
    app.anyone().post(CONFIRM, &proof).await
}

async fn undo(app: &App, mail: &ParsedMail) -> Response {
    app.anyone().post(UNDO, &json!({"token": mail.token()})).await
}

async fn email_of(client: &Client) -> String {
    client.get("/api/v1/user").await.assert(200).json()["email"].as_str().unwrap().to_owned()
}

/// Resets the password through the mailbox.
async fn reset(app: &App, email: &str, password: &str) {
    app.anyone().post("/api/v1/auth/password/forgot", &json!({"email": email})).await.assert(202);
    let body = json!({"token": app.mail_to(email).await.token(), "new_password": password});
    app.anyone().post("/api/v1/auth/password/reset", &body).await.assert(204);
}

async fn register(app: &App, email: &str) -> Response {
    app.anyone().post(REGISTER, &json!({"email": email, "password": PASSWORD})).await
}

#[tokio::test]
async fn the_link_at_the_new_address_changes_it_without_a_login() {
    let app = App::start();
    let ada = app.confirmed_user().await;
    ask(&ada, " New@example.com").await.assert(202);
    let mail = app.mail_to("New@example.com").await;
    assert_eq!(email_of(&ada).await, ada.email, "not before it is confirmed");
    assert!(mail.link().starts_with("http://mintage.test/confirm-email-change#token="));
    let answer = confirm(&app, json!({"token": mail.token()})).await.assert(200);
    assert_eq!(answer.json(), json!({"email": "New@example.com"}));
    let user = ada.get("/api/v1/user").await.assert(200).json();
    assert_eq!((&user["email"], &user["email_confirmed"]), (&json!("New@example.com"), &json!(true)));
    app.login(NEW).await;
    confirm(&app, json!({"token": mail.token()})).await.assert_problem(422, "invalid-code");
}

#[tokio::test]
async fn the_code_needs_a_login_or_the_new_address() {
    let app = App::start();
    let (ada, bob) = (app.confirmed_user().await, app.confirmed_user().await);
    ask(&ada, NEW).await.assert(202);
    let code = json!({"code": app.mail_to(NEW).await.code()});
    confirm(&app, code.clone()).await.assert_problem(401, "missing-token");
    bob.post(CONFIRM, &code).await.assert_problem(422, "invalid-code");
    ada.bearing("rubbish").post(CONFIRM, &code).await.assert_problem(401, "invalid-token");
    ada.post(CONFIRM, &code).await.assert(200);
    assert_eq!(email_of(&ada).await, NEW);

    ask(&bob, "bob2@example.com").await.assert(202);
    let code = app.mail_to("bob2@example.com").await.code();
    let with_old = json!({"email": bob.email, "code": code});
    confirm(&app, with_old).await.assert_problem(422, "invalid-code");
    confirm(&app, json!({"email": "BOB2@example.com", "code": code})).await.assert(200);
}

#[tokio::test]
async fn the_change_needs_the_password_and_a_different_address() {
    let app = App::start();
    let ada = app.confirmed_user().await;
    let body = json!({"new_email": NEW, "password": "a wrong password"});
    ada.post(CHANGE, &body).await.assert_problem(403, "wrong-password");
    ask(&ada, &ada.email.to_uppercase()).await.assert_invalid("/new_email", "unchanged");
    ask(&ada, "nonsense").await.assert_invalid("/new_email", "email");
}

#[tokio::test]
async fn a_taken_address_is_not_revealed_but_its_owner_is_notified() {
    let app = App::start();
    let (ada, bob) = (app.confirmed_user().await, app.confirmed_user().await);
    let taken = ask(&ada, &bob.email).await.assert(202);
    let mails = app.mails_to(&bob.email).await;
    let free = ask(&ada, NEW).await.assert(202);
    assert_eq!(taken.body, free.body);
    assert_eq!(mails.len(), 1);
    assert_eq!(mails[0].subject, "You already have an account");
    assert!(!mails[0].text.contains("token="));
}

#[tokio::test]
async fn the_old_address_can_undo_it_which_ends_every_session() {
    let one = App::start();
    let two = one.replica();
    let ada = one.confirmed_user().await;
    let thief = one.login(&ada.email).await;
    let mail = change(&one, &thief, "thief@example.com").await;
    assert!(!mail.text.contains("thief@example.com"));
    assert!(mail.link().starts_with("http://mintage.test/undo-email-change#token="));
    thief.get("/api/v1/user").await.assert(200);

    let answer = undo(&one, &mail).await.assert(200);
    assert_eq!(answer.json(), json!({"email": ada.email}));
    for client in [&ada, &thief] {
        client.get("/api/v1/user").await.assert_problem(401, "token-revoked");
        let elsewhere = client.on(&two.base);
        eventually("refusal elsewhere", async || elsewhere.get("/api/v1/user").await.status == 401).await;
    }
    let reset = one.mail_to(&ada.email).await;
    assert!(reset.link().contains("/reset-password#token="), "the thief knew the password");
    assert_eq!(email_of(&one.login(&ada.email).await).await, ada.email);
    let notice = one.mail_to("thief@example.com").await;
    assert_eq!(notice.subject, "An account no longer has this address");
    assert!(!notice.text.contains("http") && !notice.text.contains(&ada.email), "{}", notice.text);
    let body = json!({"email": "thief@example.com", "password": PASSWORD});
    one.anyone().post("/api/v1/auth/login", &body).await.assert(401);
    undo(&one, &mail).await.assert_problem(422, "invalid-code");
}

#[tokio::test]
async fn the_old_address_is_reserved_for_7_days() {
    let app = App::start();
    let (ada, bob) = (app.confirmed_user().await, app.confirmed_user().await);
    let mail = change(&app, &ada, NEW).await;
    register(&app, &ada.email).await.assert_problem(409, "email-taken");
    ask(&bob, &ada.email).await.assert(202);
    assert_eq!(app.mail_to(&ada.email).await.subject, "This address is still reserved");

    app.clock.advance(Duration::from_hours(7 * 24 + 1));
    undo(&app, &mail).await.assert_problem(422, "invalid-code");
    register(&app, &ada.email).await.assert(201);
}

#[tokio::test]
async fn the_reservation_also_holds_against_earlier_requests() {
    let app = App::start();
    let (ada, bob) = (app.confirmed_user().await, app.confirmed_user().await);
    change(&app, &ada, "second@example.com").await;
    change(&app, &ada, "third@example.com").await;
    ask(&bob, "fourth@example.com").await.assert(202);
    let of_bob = app.mail_to("fourth@example.com").await;
    change(&app, &ada, "fourth@example.com").await;
    confirm(&app, json!({"token": of_bob.token()})).await.assert_problem(409, "email-taken");
    change(&app, &ada, "fifth@example.com").await;
    confirm(&app, json!({"token": of_bob.token()})).await.assert_problem(409, "email-taken");
    assert_eq!(email_of(&bob).await, bob.email);
    // Its owner may go back to it.
    change(&app, &ada, "fourth@example.com").await;
}

#[tokio::test]
async fn where_confirmation_is_required_a_reserved_address_is_not_given_away_either() {
    let app = App::start();
    let ada = app.confirmed_user().await;
    change(&app, &ada, NEW).await;
    let strict = app.replica_with(&[("REQUIRE_CONFIRMATION", "on")]);
    register(&strict, &ada.email).await.assert(202);
    assert_eq!(app.mail_to(&ada.email).await.subject, "This address is still reserved");
}

#[tokio::test]
async fn an_undo_also_reverts_all_later_changes_and_their_undos() {
    let app = App::start();
    let ada = app.confirmed_user().await;
    let first = change(&app, &ada, "thief1@example.com").await;
    let second = change(&app, &ada, "thief2@example.com").await;
    undo(&app, &first).await.assert(200);
    undo(&app, &second).await.assert_problem(422, "invalid-code");
    assert_eq!(email_of(&app.login(&ada.email).await).await, ada.email);
    register(&app, "thief1@example.com").await.assert(201);
}

/// Otherwise anyone could reserve any address by registering it and changing to their own.
#[tokio::test]
async fn an_address_that_was_never_confirmed_is_not_reserved_and_gets_no_link() {
    let app = App::start();
    let stranger = app.user().await;
    let notice = change(&app, &stranger, "stranger@example.com").await;
    assert_eq!(notice.subject, "An account no longer has this address");
    assert!(
        !notice.text.contains("http") && !notice.text.contains("stranger@example.com"),
        "{}",
        notice.text
    );
    register(&app, &stranger.email).await.assert(201);
    app.login("stranger@example.com").await;
}

#[tokio::test]
async fn the_mail_to_the_new_address_says_whose_account_it_is_and_what_can_happen() {
    let app = App::start();
    let stranger = app.confirmed_user().await;
    let made = app.clock.now().format("%-d %B %Y").to_string();
    app.clock.advance(Duration::from_hours(24 * 40));
    let stranger = app.login(&stranger.email).await;
    ask(&stranger, "victim@example.com").await.assert(202);
    let mail = app.mail_to("victim@example.com").await;
    for part in [
        format!("Account created: {made}"),
        "knows its password".into(),
        "take the account back".into(),
        "7 days".into(),
    ] {
        assert!(mail.text.replace('\n', " ").contains(&part), "{part} is missing in: {}", mail.text);
    }
    assert!(!mail.text.contains(&stranger.email), "the mail must not tell the former address");
}

/// The new owner has chosen a password and used the account; the former owner
/// has had a day to undo the change.
#[tokio::test]
async fn a_reset_at_the_new_address_a_day_after_the_change_ends_the_undo() {
    let app = App::start();
    for (hours, status) in [(23, 200), (25, 422)] {
        let stranger = app.confirmed_user().await;
        let victim = format!("victim{hours}@example.com");
        let mail = change(&app, &stranger, &victim).await;
        app.clock.advance(Duration::from_hours(hours));
        reset(&app, &victim, "the victim's password").await;
        undo(&app, &mail).await.assert(status);
        let freed = register(&app, &stranger.email).await;
        assert_eq!(
            freed.status == 201,
            status == 422,
            "the former address is free when nothing can be undone"
        );
    }
}

/// Otherwise a thief who changes the address twice would not have to wait for a day.
#[tokio::test]
async fn the_day_counts_from_the_last_change() {
    let app = App::start();
    let ada = app.confirmed_user().await;
    let mail = change(&app, &ada, "thief1@example.com").await;
    app.clock.advance(Duration::from_hours(25));
    let ada_again = app.login("thief1@example.com").await;
    change(&app, &ada_again, "thief2@example.com").await;
    reset(&app, "thief2@example.com", "the thief's password").await;
    undo(&app, &mail).await.assert(200);
}

/// The thief owns the mailbox of the new address and can reset the password through it.
#[tokio::test]
async fn a_reset_at_the_new_address_does_not_take_the_undo_away() {
    let app = App::start();
    let ada = app.confirmed_user().await;
    let mail = change(&app, &ada, "thief@example.com").await;
    reset(&app, "thief@example.com", "the thief's password").await;
    undo(&app, &mail).await.assert(200);
    let token = app.mail_to(&ada.email).await.token();
    let body = json!({"token": token, "new_password": PASSWORD});
    app.anyone().post("/api/v1/auth/password/reset", &body).await.assert(204);
    app.login(&ada.email).await;
}

#[tokio::test]
async fn an_undo_revokes_what_the_thief_has_requested_meanwhile() {
    let app = App::start();
    let ada = app.confirmed_user().await;
    let mail = change(&app, &ada, "thief@example.com").await;
    ask(&ada, "thief2@example.com").await.assert(202);
    let pending = app.mail_to("thief2@example.com").await;
    undo(&app, &mail).await.assert(200);
    confirm(&app, json!({"token": pending.token()})).await.assert_problem(422, "invalid-code");
}

#[tokio::test]
async fn of_two_accounts_that_confirm_the_same_address_one_gets_it() {
    let app = App::start();
    let (ada, bob) = (app.confirmed_user().await, app.confirmed_user().await);
    ask(&ada, NEW).await.assert(202);
    ask(&bob, NEW).await.assert(202);
    let proofs: Vec<_> = app.mails_to(NEW).await.iter().map(|mail| json!({"token": mail.token()})).collect();
    assert_eq!(proofs.len(), 2);
    let answers = join_all([confirm(&app, proofs[0].clone()), confirm(&app, proofs[1].clone())]).await;
    let mut statuses: Vec<_> = answers.iter().map(|answer| answer.status.as_u16()).collect();
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 409]);
}

#[tokio::test]
async fn of_parallel_confirmations_one_changes_the_address_and_sends_one_notice() {
    let app = App::start();
    let ada = app.confirmed_user().await;
    ask(&ada, NEW).await.assert(202);
    let proof = json!({"token": app.mail_to(NEW).await.token()});
    let answers = join_all((0..10).map(|_| confirm(&app, proof.clone()))).await;
    assert_eq!(answers.iter().filter(|answer| answer.status == 200).count(), 1);
    assert_eq!(app.mails_to(&ada.email).await.len(), 1);
}

#[tokio::test]
async fn a_link_works_for_24_hours_and_only_the_newest() {
    let app = App::start();
    let ada = app.confirmed_user().await;
    ask(&ada, NEW).await.assert(202);
    let first = app.mail_to(NEW).await;
    ask(&ada, "newer@example.com").await.assert(202);
    confirm(&app, json!({"token": first.token()})).await.assert_problem(422, "invalid-code");
    let second = app.mail_to("newer@example.com").await;
    app.clock.advance(Duration::from_hours(24));
    confirm(&app, json!({"token": second.token()})).await.assert_problem(422, "invalid-code");
}

#[tokio::test]
async fn deleting_the_account_ends_the_reservation_and_everything_pending() {
    let app = App::start();
    let ada = app.confirmed_user().await;
    let mail = change(&app, &ada, NEW).await;
    ask(&ada, "newer@example.com").await.assert(202);
    let pending = app.mail_to("newer@example.com").await;
    let body = |request: RequestBuilder| request.json(&json!({"password": PASSWORD}));
    ada.send(Method::DELETE, "/api/v1/user", body).await.assert(204);
    undo(&app, &mail).await.assert_problem(422, "invalid-code");
    confirm(&app, json!({"token": pending.token()})).await.assert_problem(422, "invalid-code");
    register(&app, &ada.email).await.assert(201);
}

#[tokio::test]
async fn an_undo_revokes_the_api_keys_of_the_account() {
    let app = App::start();
    let ada = app.confirmed_user().await;
    let mail = change(&app, &ada, NEW).await;
    let body = json!({"name": "thief", "scopes": ["coins:read"]});
    let key = ada.post("/api/v1/user/api-keys", &body).await.assert(201).json();
    let key = ada.bearing(key["key"].as_str().unwrap());
    key.get("/api/v1/coins").await.assert(200);
    undo(&app, &mail).await.assert(200);
    key.get("/api/v1/coins").await.assert_problem(401, "invalid-api-key");
}
