//! Reuse of a refresh token by two parties whose access tokens the server never sees: they
//! are shown to other services, which verify them with the JWKS.

use std::time::Duration;

use diesel::connection::SimpleConnection;
use futures_util::future::join_all;
use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{App, Client, ParsedMail, Response};

const BEHIND_A_PROXY: [(&str, &str); 1] = [("TRUSTED_PROXIES", "127.0.0.0/8")];
const AFTER_THE_GRACE: Duration = Duration::from_secs(11);
const FIREFOX: &str = "Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0";

#[derive(Clone, Copy)]
struct Device {
    address: &'static str,
    user_agent: &'static str,
}

const OWNER: Device = Device { address: "203.0.113.9", user_agent: FIREFOX };
const FAR_AWAY: Device = Device { address: "198.51.100.7", user_agent: FIREFOX };
const ANOTHER_PROGRAM: Device = Device { address: "203.0.113.9", user_agent: "curl/8.16.0" };

async fn send(app: &App, from: Device, token: &str) -> Response {
    let body = json!({"refresh_token": token});
    app.anyone()
        .send(Method::POST, "/api/v1/auth/refresh", |request| {
            request.header("x-forwarded-for", from.address).header("user-agent", from.user_agent).json(&body)
        })
        .await
}

fn refresh_token(pair: &Value) -> String {
    pair["refresh_token"].as_str().unwrap().to_owned()
}

/// The next refresh token.
#[track_caller]
fn next(answer: Response) -> String {
    refresh_token(&answer.assert(200).json())
}

/// Logged in, and refreshed once by its owner: the first token is rotated now.
async fn rotated(app: &App) -> (Client, String, String) {
    let client = app.user().await;
    let first = client.refresh_token.clone().unwrap();
    let second = next(send(app, OWNER, &first).await);
    (client, first, second)
}

async fn assert_session_over(app: &App, client: &Client, newest: &str) {
    send(app, OWNER, newest).await.assert_problem(401, "invalid-refresh-token");
    client.get("/api/v1/user").await.assert_problem(401, "token-revoked");
}

#[tokio::test]
async fn a_thief_elsewhere_who_comes_after_the_owner_ends_the_session() {
    for thief in [FAR_AWAY, ANOTHER_PROGRAM] {
        let app = App::with(&BEHIND_A_PROXY);
        let (client, first, second) = rotated(&app).await;
        app.clock.advance(AFTER_THE_GRACE);
        send(&app, thief, &first).await.assert_problem(401, "refresh-token-reused");
        assert_session_over(&app, &client, &second).await;
    }
}

#[tokio::test]
async fn an_owner_who_comes_after_a_thief_ends_the_session() {
    for thief in [FAR_AWAY, ANOTHER_PROGRAM] {
        let app = App::with(&BEHIND_A_PROXY);
        let (client, _, second) = rotated(&app).await;
        let stolen = next(send(&app, thief, &second).await);
        app.clock.advance(AFTER_THE_GRACE);
        send(&app, OWNER, &second).await.assert_problem(401, "refresh-token-reused");
        send(&app, thief, &stolen).await.assert_problem(401, "invalid-refresh-token");
        client.get("/api/v1/user").await.assert_problem(401, "token-revoked");
    }
}

#[tokio::test]
async fn a_race_within_the_grace_does_not_make_the_thief_the_client_of_the_session() {
    let app = App::with(&BEHIND_A_PROXY);
    let (client, first, second) = rotated(&app).await;
    let stolen = next(send(&app, FAR_AWAY, &first).await);
    assert_eq!(stolen, second, "the grace answers everybody alike");
    app.clock.advance(AFTER_THE_GRACE);
    send(&app, FAR_AWAY, &first).await.assert_problem(401, "refresh-token-reused");
    assert_session_over(&app, &client, &second).await;
}

#[tokio::test]
async fn a_lost_answer_is_given_again_once_and_a_second_time_is_reuse() {
    let app = App::with(&BEHIND_A_PROXY);
    let (client, first, second) = rotated(&app).await;
    app.clock.advance(AFTER_THE_GRACE);
    assert_eq!(next(send(&app, OWNER, &first).await), second);
    send(&app, OWNER, &first).await.assert_problem(401, "refresh-token-reused");
    assert_session_over(&app, &client, &second).await;
}

#[tokio::test]
async fn of_50_simultaneous_reuses_after_the_grace_period_one_is_answered() {
    let app = App::with(&BEHIND_A_PROXY);
    let (_, first, second) = rotated(&app).await;
    app.clock.advance(AFTER_THE_GRACE);
    let answers = join_all((0..50).map(|_| send(&app, OWNER, &first))).await;
    let (granted, refused): (Vec<_>, Vec<_>) = answers.into_iter().partition(|answer| answer.status == 200);
    let given: Vec<_> = granted.into_iter().map(next).collect();
    assert_eq!(given.len(), 1);
    assert_eq!(given[0], second);
    let reused = |answer: &&Response| answer.json()["code"] == "refresh-token-reused";
    assert!(refused.iter().all(|answer| answer.status == 401));
    assert_eq!(refused.iter().filter(reused).count(), 1, "the others find no session");
}

#[tokio::test]
async fn a_lost_answer_is_given_again_within_the_network_and_the_hour() {
    let nearby = [("203.0.113.9", "203.0.113.77"), ("2001:db8:1:2::1", "2001:db8:1:3:3:4:5:6")];
    let elsewhere = [("203.0.113.9", "203.0.114.9"), ("2001:db8:1:2::1", "2001:db8:2:3::1")];
    let cases = nearby.map(|pair| (pair, 59, 200)).into_iter();
    let cases = cases.chain(elsewhere.map(|pair| (pair, 59, 401)));
    let cases = cases.chain([(("203.0.113.9", "203.0.113.9"), 61, 401)]);
    let app = App::with(&BEHIND_A_PROXY);
    for ((before, after), minutes, status) in cases {
        let token = app.user().await.refresh_token.unwrap();
        send(&app, Device { address: before, ..OWNER }, &token).await.assert(200);
        app.clock.advance(Duration::from_mins(minutes));
        let answer = send(&app, Device { address: after, ..OWNER }, &token).await;
        assert_eq!(answer.status, status, "{before}, {minutes} minutes later {after}");
    }
}

#[tokio::test]
async fn a_lost_answer_does_not_forbid_the_next_one() {
    let app = App::with(&BEHIND_A_PROXY);
    let (_, first, _) = rotated(&app).await;
    let mut newest = first;
    for _ in 0..3 {
        app.clock.advance(AFTER_THE_GRACE);
        let again = next(send(&app, OWNER, &newest).await);
        next(send(&app, OWNER, &again).await);
        newest = again;
    }
    app.clock.advance(AFTER_THE_GRACE);
    send(&app, OWNER, &newest).await.assert_problem(401, "refresh-token-reused");
}

#[tokio::test]
async fn a_thief_in_the_same_network_with_the_same_program_is_noticed_after_three_turns() {
    let app = App::with(&BEHIND_A_PROXY);
    let client = app.user().await;
    let mut of_owner = client.refresh_token.clone().unwrap();
    let mut of_thief = of_owner.clone();
    for turn in 0.. {
        of_owner = next(send(&app, OWNER, &of_owner).await);
        app.clock.advance(AFTER_THE_GRACE);
        let answer = send(&app, OWNER, &of_thief).await;
        if turn == 3 {
            answer.assert_problem(401, "refresh-token-reused");
            return assert_session_over(&app, &client, &of_owner).await;
        }
        of_thief = next(answer);
        app.clock.advance(AFTER_THE_GRACE);
    }
}

#[tokio::test]
async fn an_exchange_without_loss_in_between_allows_lost_answers_again() {
    let app = App::with(&BEHIND_A_PROXY);
    let mut token = app.user().await.refresh_token.unwrap();
    for lost in 0..8 {
        let given = next(send(&app, OWNER, &token).await);
        app.clock.advance(AFTER_THE_GRACE);
        if lost % 2 == 0 {
            assert_eq!(next(send(&app, OWNER, &token).await), given);
        }
        token = given;
    }
}

#[tokio::test]
async fn a_token_that_a_restored_database_does_not_know_yet_is_not_taken_for_stolen() {
    let app = App::with(&BEHIND_A_PROXY);
    let (client, _, second) = rotated(&app).await;
    confirm(&app, &client);
    let mut conn = app.sql();
    conn.batch_execute(
        "DELETE FROM refresh_tokens WHERE generation = 1; UPDATE sessions SET generation = 0; \
         UPDATE refresh_tokens SET rotated_at = NULL",
    )
    .unwrap();
    send(&app, OWNER, &second).await.assert_problem(401, "invalid-refresh-token");
    assert!(app.mails_to(&client.email).await.is_empty());
}

fn confirm(app: &App, client: &Client) {
    let query = format!("UPDATE users SET email_confirmed_at = now() WHERE id = '{}'", client.id);
    app.sql().batch_execute(&query).unwrap();
}

/// Has a token of a confirmed account reused, and returns the mails about it.
async fn mails_about_reuse(app: &App, user_agent: &'static str) -> Vec<ParsedMail> {
    let client = app.user().await;
    confirm(app, &client);
    let token = client.refresh_token.clone().unwrap();
    send(app, Device { user_agent, ..OWNER }, &token).await.assert(200);
    app.clock.advance(AFTER_THE_GRACE);
    send(app, FAR_AWAY, &token).await.assert_problem(401, "refresh-token-reused");
    send(app, FAR_AWAY, &token).await.assert_problem(401, "invalid-refresh-token");
    app.mails_to(&client.email).await
}

#[tokio::test]
async fn the_owner_gets_one_mail_that_says_which_log_in_was_ended() {
    let app = App::with(&BEHIND_A_PROXY);
    let day = app.clock.now().format("%-d %B %Y, ").to_string();
    let mails = mails_about_reuse(&app, FIREFOX).await;
    let [mail] = mails.as_slice() else { panic!("{} mails", mails.len()) };
    assert_eq!(mail.subject, "We ended a log-in to your account");
    for part in [day.as_str(), "Firefox on Linux", "was used twice", "Log in again", "new password"] {
        assert!(mail.text.contains(part) && mail.html.contains(part), "no {part:?} in {}", mail.text);
    }
    for part in ["203.0.113", "198.51.100", "Gecko"] {
        assert!(!mail.text.contains(part), "{part:?} in {}", mail.text);
    }
    assert!(mail.link().ends_with("/reset-password"), "{}", mail.link());
}

#[tokio::test]
async fn a_user_agent_puts_no_words_of_its_own_into_the_mail() {
    let app = App::with(&BEHIND_A_PROXY);
    for user_agent in ["Your account is locked, go to https://evil.example/unlock", "", "Firefoxy"] {
        let mails = mails_about_reuse(&app, user_agent).await;
        let [mail] = mails.as_slice() else { panic!("{} mails", mails.len()) };
        assert!(!mail.text.contains("evil") && !mail.html.contains("evil"), "{}", mail.text);
        assert!(mail.text.contains("an unknown device"), "{}", mail.text);
    }
}

#[tokio::test]
async fn an_address_that_is_not_confirmed_gets_no_mail_about_reuse() {
    let app = App::with(&BEHIND_A_PROXY);
    let (client, first, _) = rotated(&app).await;
    app.clock.advance(AFTER_THE_GRACE);
    send(&app, FAR_AWAY, &first).await.assert_problem(401, "refresh-token-reused");
    assert!(app.mails_to(&client.email).await.is_empty());
}

#[tokio::test]
async fn ending_a_session_and_enqueueing_its_mail_is_one_transaction() {
    let app = App::with(&BEHIND_A_PROXY);
    let (client, first, second) = rotated(&app).await;
    confirm(&app, &client);
    app.clock.advance(AFTER_THE_GRACE);
    let mut conn = app.sql();
    conn.batch_execute("BEGIN; LOCK TABLE jobs IN ACCESS EXCLUSIVE MODE").unwrap();
    send(&app, FAR_AWAY, &first).await.assert_problem(503, "unavailable");
    conn.batch_execute("ROLLBACK").unwrap();
    assert_eq!(app.count("SELECT count(*) FROM blocklist"), 0);
    client.get("/api/v1/user").await.assert(200);
    next(send(&app, OWNER, &second).await);
}
