//! Limits on wrong passwords and codes, which must not lock the owner of an account out.

use std::time::Duration;

use diesel::connection::SimpleConnection;
use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::support::{App, Client, PASSWORD, Response};

const LOGIN: &str = "/api/v1/auth/login";
const UNLOCK: &str = "/api/v1/auth/login/unlock";
const FORGOT: &str = "/api/v1/auth/password/forgot";
const RESET: &str = "/api/v1/auth/password/reset";
const ADA: &str = "ada@example.com";
const HOME: &str = "203.0.113.9";
const ELSEWHERE: &str = "198.51.100.7";
/// So many wrong passwords stop further log-ins and send the owner a mail.
const CHECKED: Duration = Duration::from_secs(11);

fn guarded() -> App {
    App::with(&[("RATE_LIMITS", "on"), ("TRUSTED_PROXIES", "127.0.0.0/8")])
}

async fn log_in(app: &App, address: &str, password: &str) -> Response {
    app.anyone().at(address).post(LOGIN, &json!({"email": ADA, "password": password})).await
}

/// Registers, and logs in from home.
async fn ada(app: &App) -> Client {
    let body = json!({"email": ADA, "password": PASSWORD, "username": "ada-1815"});
    let mut client = app.anyone().at(HOME);
    client.post("/api/v1/auth/register", &body).await.assert(201);
    client.take(&log_in(app, HOME, PASSWORD).await.assert(200).json());
    client
}

/// Sends 20 wrong passwords from each of these networks.
async fn guess_from(app: &App, login: &Value, networks: std::ops::Range<u8>) {
    for network in networks {
        let stranger = app.anyone().at(&format!("192.0.{network}.1"));
        for _ in 0..20 {
            stranger.post(LOGIN, login).await.assert_problem(401, "invalid-credentials");
        }
        stranger.post(LOGIN, login).await.assert_problem(429, "too-many-requests");
    }
}

fn wrong() -> Value {
    json!({"email": ADA, "password": "a wrong password"})
}

#[tokio::test]
async fn strangers_share_100_guesses_which_do_not_stop_the_owner_in_a_known_network() {
    let app = guarded();
    ada(&app).await;
    guess_from(&app, &wrong(), 0..5).await;
    let stopped = log_in(&app, "192.0.9.1", PASSWORD).await.assert_problem(429, "too-many-requests");
    assert!(stopped.json()["detail"].as_str().unwrap().contains("100 wrong passwords"));
    let wait: u64 = stopped.header("retry-after").parse().unwrap();
    assert!((23 * 3600..=24 * 3600).contains(&wait), "{wait} s");
    log_in(&app, "203.0.113.77", PASSWORD).await.assert(200);
    log_in(&app, HOME, "a wrong password").await.assert_problem(401, "invalid-credentials");
}

#[tokio::test]
async fn a_right_password_is_not_a_wrong_guess_when_the_session_cannot_be_started() {
    let app = guarded();
    ada(&app).await;
    let mut sql = app.sql();
    sql.batch_execute("BEGIN; SELECT id FROM users FOR UPDATE").unwrap();
    for _ in 0..21 {
        log_in(&app, ELSEWHERE, PASSWORD).await.assert_problem(503, "unavailable");
    }
    sql.batch_execute("ROLLBACK").unwrap();
    log_in(&app, ELSEWHERE, PASSWORD).await.assert(200);
}

#[tokio::test]
async fn a_wrong_password_counts_while_no_session_can_be_started() {
    let app = guarded();
    ada(&app).await;
    let mut sql = app.sql();
    sql.batch_execute("BEGIN; SELECT id FROM users FOR UPDATE").unwrap();
    guess_from(&app, &wrong(), 0..1).await;
    log_in(&app, "192.0.0.1", PASSWORD).await.assert_problem(429, "too-many-requests");
}

#[tokio::test]
async fn a_session_that_moved_to_another_network_makes_it_known() {
    let app = guarded();
    let mut session = ada(&app).await.at(ELSEWHERE);
    session.refresh().await.assert(200);
    guess_from(&app, &wrong(), 0..5).await;
    log_in(&app, ELSEWHERE, PASSWORD).await.assert(200);
}

#[tokio::test]
async fn a_network_is_known_for_30_days() {
    let app = guarded();
    ada(&app).await;
    app.clock.advance(Duration::from_hours(31 * 24));
    guess_from(&app, &wrong(), 0..5).await;
    log_in(&app, HOME, PASSWORD).await.assert_problem(429, "too-many-requests");
}

#[tokio::test]
async fn the_mailed_link_unblocks_the_owner_once() {
    let app = guarded();
    ada(&app).await;
    guess_from(&app, &wrong(), 0..5).await;
    app.clock.advance(CHECKED);
    let mails = app.mails_to(ADA).await;
    assert_eq!(mails.len(), 1);
    assert_eq!(mails[0].subject, "Log-ins from new places are stopped");
    assert!(mails[0].link().starts_with("http://mintage.test/unlock-login#token="));
    let at_new_place = app.anyone().at(ELSEWHERE);
    let proof = json!({"token": mails[0].token()});
    at_new_place
        .post(RESET, &json!({"token": mails[0].token(), "new_password": "a horse of another colour"}))
        .await
        .assert_problem(422, "invalid-code");
    at_new_place.post(UNLOCK, &proof).await.assert(204);
    at_new_place.post(UNLOCK, &proof).await.assert_problem(422, "invalid-code");

    guess_from(&app, &wrong(), 10..15).await;
    log_in(&app, ELSEWHERE, PASSWORD).await.assert(200);
    log_in(&app, "192.0.9.1", PASSWORD).await.assert_problem(429, "too-many-requests");
}

#[tokio::test]
async fn a_new_password_unblocks_the_network_it_was_chosen_in_and_clears_the_known_networks() {
    let app = guarded();
    ada(&app).await;
    guess_from(&app, &wrong(), 0..5).await;
    app.clock.advance(CHECKED);
    app.mail_to(ADA).await;
    let at_new_place = app.anyone().at(ELSEWHERE);
    at_new_place.post(FORGOT, &json!({"email": ADA})).await.assert(202);
    let token = app.mail_to(ADA).await.token();
    let new = "a horse of another colour";
    at_new_place.post(RESET, &json!({"token": token, "new_password": new})).await.assert(204);
    guess_from(&app, &wrong(), 10..15).await;
    log_in(&app, ELSEWHERE, new).await.assert(200);
    log_in(&app, HOME, new).await.assert_problem(429, "too-many-requests");
}

#[tokio::test]
async fn a_success_from_a_new_network_resets_the_wrong_guesses() {
    let app = guarded();
    ada(&app).await;
    guess_from(&app, &wrong(), 0..4).await;
    log_in(&app, ELSEWHERE, PASSWORD).await.assert(200);
    guess_from(&app, &wrong(), 10..15).await;
}

#[tokio::test]
async fn one_budget_counts_for_an_account_by_every_name_and_on_every_replica() {
    let one = guarded();
    let two = one.replica();
    ada(&one).await;
    let by_name = json!({"username": "ADA-1815", "password": "a wrong password"});
    let spelled = json!({"email": " ＡDA@example.com ", "password": "a wrong password"});
    for (app, body, guesses) in [(&one, &wrong(), 8), (&two, &by_name, 7), (&two, &spelled, 5)] {
        for _ in 0..guesses {
            app.anyone().at(ELSEWHERE).post(LOGIN, body).await.assert_problem(401, "invalid-credentials");
        }
    }
    for app in [&one, &two, &one.replica()] {
        for body in [wrong(), by_name.clone(), spelled.clone()] {
            app.anyone().at(ELSEWHERE).post(LOGIN, &body).await.assert_problem(429, "too-many-requests");
        }
    }
    one.clock.advance(Duration::from_mins(10));
    log_in(&one, ELSEWHERE, PASSWORD).await.assert(200);
}

#[tokio::test]
async fn an_unknown_name_is_blocked_like_a_known_one_and_sends_no_mail() {
    let app = guarded();
    guess_from(&app, &wrong(), 0..5).await;
    let stopped = log_in(&app, "192.0.9.1", PASSWORD).await.assert_problem(429, "too-many-requests");
    assert!(stopped.json()["detail"].as_str().unwrap().contains("100 wrong passwords"));
    app.clock.advance(CHECKED);
    assert_eq!(app.mails_to(ADA).await.len(), 0);
}

#[tokio::test]
async fn no_stop_is_mailed_when_the_hundredth_password_was_right() {
    let app = guarded();
    ada(&app).await;
    guess_from(&app, &wrong(), 0..4).await;
    for _ in 0..19 {
        log_in(&app, "192.0.9.1", "a wrong password").await.assert_problem(401, "invalid-credentials");
    }
    log_in(&app, "192.0.9.1", PASSWORD).await.assert(200);
    app.clock.advance(CHECKED);
    assert_eq!(app.mails_to(ADA).await.len(), 0);
}

/// A stranger may register the address of an account with another password, which is then pending.
#[tokio::test]
async fn the_password_of_a_strangers_registration_does_not_restore_guesses() {
    let app = guarded();
    ada(&app).await;
    let strict = app.replica_with(&[("REQUIRE_CONFIRMATION", "on")]);
    let stranger = strict.anyone().at("192.0.2.1");
    for email in [ADA, "nobody@example.com"] {
        let body = |password: &str| json!({"email": email, "password": password});
        stranger.post("/api/v1/auth/register", &body("the stranger's own")).await.assert(202);
        let mut statuses = Vec::new();
        for guess in 0..24 {
            let password = if guess % 4 == 3 { "the stranger's own" } else { "a wrong password" };
            statuses.push(stranger.post(LOGIN, &body(password)).await.status.as_u16());
        }
        let expected: Vec<u16> = [401, 401, 401, 403].repeat(5).into_iter().chain([429; 4]).collect();
        assert_eq!(statuses, expected, "{email}");
    }
}

#[tokio::test]
async fn the_holder_of_a_token_has_200_guesses_from_all_networks_together() {
    let app = guarded();
    let ada = ada(&app).await;
    let body = json!({"current_password": "a wrong password"});
    let guess = async |network: u8| {
        ada.at(&format!("192.0.{network}.1")).post("/api/v1/auth/password/change", &body).await
    };
    for network in 0..10 {
        for _ in 0..20 {
            guess(network).await.assert_problem(403, "wrong-password");
        }
    }
    guess(11).await.assert_problem(429, "too-many-requests");
    for place in [HOME, ELSEWHERE] {
        log_in(&app, place, PASSWORD).await.assert(200);
    }
}

/// A thief can refresh stolen tokens in any network. That makes the network known to a lesser degree than a log-in.
#[tokio::test]
async fn refreshing_a_stolen_session_in_many_networks_neither_gives_more_guesses_nor_locks_out() {
    let app = guarded();
    let mut thief = ada(&app).await;
    for network in 0..10 {
        thief = thief.at(&format!("192.0.{network}.1"));
        thief.refresh().await.assert(200);
        for _ in 0..20 {
            thief.post(LOGIN, &wrong()).await.assert_problem(401, "invalid-credentials");
        }
    }
    thief = thief.at("192.0.11.1");
    thief.refresh().await.assert(200);
    thief.post(LOGIN, &wrong()).await.assert_problem(429, "too-many-requests");
    for place in [HOME, ELSEWHERE] {
        log_in(&app, place, PASSWORD).await.assert(200);
    }
}

/// Otherwise a stranger could send mails to any address by registering it, guessing, deleting the account, and repeating that.
#[tokio::test]
async fn an_address_gets_one_mail_a_day_about_blocked_log_ins() {
    let app = guarded();
    for round in 0..3 {
        let account = ada(&app).await;
        guess_from(&app, &wrong(), 0..5).await;
        app.clock.advance(CHECKED);
        assert_eq!(app.mails_to(ADA).await.len(), usize::from(round == 0), "round {round}");
        let body = |request: reqwest::RequestBuilder| request.json(&json!({"password": PASSWORD}));
        account.send(reqwest::Method::DELETE, "/api/v1/user", body).await.assert(204);
    }
}

#[tokio::test]
async fn a_correct_current_password_is_no_guess_even_if_the_request_is_refused() {
    let app = guarded();
    let ada = ada(&app).await;
    let unchanged = json!({"new_email": ADA, "password": PASSWORD});
    for _ in 0..25 {
        ada.post("/api/v1/auth/email/change", &unchanged).await.assert_invalid("/new_email", "unchanged");
    }
    log_in(&app, HOME, PASSWORD).await.assert(200);
}

#[tokio::test]
async fn right_passwords_do_not_count() {
    let app = guarded();
    ada(&app).await;
    for _ in 0..30 {
        log_in(&app, ELSEWHERE, PASSWORD).await.assert(200);
    }
}

#[tokio::test]
async fn guesses_at_once_count_like_guesses_in_a_row() {
    let app = App::with(&[
        ("RATE_LIMITS", "on"),
        ("TRUSTED_PROXIES", "127.0.0.0/8"),
        ("HASH_QUEUE_PER_NETWORK", "64"),
    ]);
    ada(&app).await;
    let clients: Vec<_> = (0..40).map(|_| app.anyone().at(ELSEWHERE)).collect();
    let body = wrong();
    let answers = join_all(clients.iter().map(|client| client.post(LOGIN, &body))).await;
    let looked_at = answers.iter().filter(|answer| answer.status == 401).count();
    assert!(looked_at <= 20, "{looked_at} guesses were looked at");
    assert!(answers.iter().any(|answer| answer.status == 429));
}

#[tokio::test]
async fn guesses_at_the_current_password_are_limited_by_network_too() {
    let app = guarded();
    let ada = ada(&app).await;
    let body = json!({"current_password": "a wrong password"});
    for _ in 0..20 {
        ada.post("/api/v1/auth/password/change", &body).await.assert_problem(403, "wrong-password");
    }
    ada.post("/api/v1/auth/password/change", &body).await.assert_problem(429, "too-many-requests");
    log_in(&app, HOME, PASSWORD).await.assert_problem(429, "too-many-requests");
    log_in(&app, ELSEWHERE, PASSWORD).await.assert(200);
}

#[tokio::test]
async fn wrong_codes_of_strangers_do_not_invalidate_the_owners_code() {
    let app = guarded();
    ada(&app).await;
    app.anyone().at(HOME).post(FORGOT, &json!({"email": ADA})).await.assert(202);
    let code = app.mail_to(ADA).await.code();
    assert_eq!(code.len(), 8);
    let reset = async |address: &str, code: &str| {
        let body = json!({"email": ADA, "code": code, "new_password": "a horse of another colour"});
        app.anyone().at(address).post(RESET, &body).await
    };
    let wrong = if code == "00000000" { "00000001" } else { "00000000" };
    for network in 0..8 {
        for _ in 0..6 {
            reset(&format!("192.0.{network}.1"), wrong).await.assert_problem(422, "invalid-code");
        }
    }
    reset("192.0.0.2", &code).await.assert_problem(422, "invalid-code");
    let (first, last) = code.split_at(4);
    let typed = format!("{first}-{last}").to_lowercase();
    reset(HOME, &typed).await.assert(204);
}
