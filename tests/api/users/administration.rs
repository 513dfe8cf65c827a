//! What admins do to accounts of others.

use futures_util::future::join;
use reqwest::Method;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::{App, Client, PASSWORD, Response};

const USERS: &str = "/api/v1/users";
const NEW_PASSWORD: &str = "a horse of another colour";

fn path(user: &Client) -> String {
    format!("{USERS}/{}", user.id)
}

async fn change(admin: &Client, user: &Client, body: Value) -> Response {
    admin.patch(&path(user), &body).await
}

async fn log_in(app: &App, email: &str, password: &str) -> Response {
    app.anyone().post("/api/v1/auth/login", &json!({"email": email, "password": password})).await
}

#[tokio::test]
async fn an_invited_person_chooses_a_password_and_logs_in() {
    let app = App::start();
    let admin = app.admin().await;
    let body = json!({"email": "Grace@example.com", "name": "Grace", "username": "grace", "role": "admin"});
    let invited = admin.post(USERS, &body).await.assert(201);
    let user = invited.json();
    assert_eq!(
        (&user["status"], &user["role"], &user["email"]),
        (&"invited".into(), &"admin".into(), &"Grace@example.com".into())
    );
    let location = format!("http://mintage.test{USERS}/{}", user["id"].as_str().unwrap());
    assert_eq!(invited.header("location"), location);
    for password in ["!", "", PASSWORD] {
        log_in(&app, "grace@example.com", password).await.assert_problem(401, "invalid-credentials");
    }

    let mail = app.mail_to("Grace@example.com").await;
    assert!(mail.link().starts_with("http://mintage.test/accept-invitation#token="), "{}", mail.link());
    let accept = json!({"token": mail.token(), "new_password": NEW_PASSWORD});
    app.anyone().post("/api/v1/auth/invitation/accept", &accept).await.assert(204);
    assert!(app.mails_to("Grace@example.com").await.is_empty(), "no password was changed");
    app.anyone().post("/api/v1/auth/invitation/accept", &accept).await.assert_problem(422, "invalid-code");
    log_in(&app, "grace@example.com", NEW_PASSWORD).await.assert(200);
    let user = admin.get(&format!("{USERS}?email=grace@example.com")).await.assert(200).json();
    assert_eq!(user["data"][0]["status"], "active");
    assert_eq!(user["data"][0]["login_count"], 1);
}

#[tokio::test]
async fn an_invitation_is_sent_again_and_can_be_replaced_by_a_reset() {
    let app = App::start();
    let admin = app.admin().await;
    let user = admin.post(USERS, &json!({"email": "grace@example.com"})).await.assert(201).json();
    let first = app.mail_to("grace@example.com").await.token();
    let again = format!("{USERS}/{}/confirmation", user["id"].as_str().unwrap());
    admin.post_empty(&again).await.assert(202);
    let second = app.mail_to("grace@example.com").await.token();
    let accept = |token: &str| json!({"token": token, "new_password": NEW_PASSWORD});
    app.anyone()
        .post("/api/v1/auth/invitation/accept", &accept(&first))
        .await
        .assert_problem(422, "invalid-code");
    app.anyone().post("/api/v1/auth/invitation/accept", &accept(&second)).await.assert(204);
    admin.post_empty(&again).await.assert_problem(409, "not-applicable");
}

#[tokio::test]
async fn an_invitation_with_a_taken_name_makes_nothing() {
    let app = App::start();
    let (admin, user) = (app.admin().await, app.user().await);
    admin.post(USERS, &json!({"email": user.email})).await.assert_problem(409, "email-taken");
    let body = json!({"email": "grace@example.com", "role": "root"});
    admin.post(USERS, &body).await.assert_invalid("/role", "type");
    let body = json!({"email": "grace@example.com", "password": PASSWORD});
    admin.post(USERS, &body).await.assert_invalid("/password", "unknown-field");
    assert_eq!(app.count("SELECT count(*) FROM users"), 2);
}

#[tokio::test]
async fn an_invitation_with_an_idempotency_key_is_made_once() {
    let app = App::start();
    let admin = app.admin().await;
    let invite = async |client: &Client, key: &str, email: &str| {
        let body = json!({"email": email});
        client.send(Method::POST, USERS, |request| request.header("idempotency-key", key).json(&body)).await
    };
    let first = invite(&admin, "\"one\"", "grace@example.com").await.assert(201);
    let replica = app.replica();
    let again = invite(&admin.on(&replica.base), "one", "grace@example.com").await.assert(201);
    assert_eq!(first.json(), again.json());
    assert_eq!(again.header("idempotency-replayed"), "true");
    assert_eq!(again.header("location"), first.header("location"));
    invite(&admin, "one", "other@example.com").await.assert_problem(422, "idempotency-key-reused");
    invite(&admin, "two", "grace@example.com").await.assert_problem(409, "email-taken");
    // A refused request is not stored: the same key may be used again.
    invite(&admin, "two", "other@example.com").await.assert(201);
    for bad in ["", "a b", &"x".repeat(256)] {
        invite(&admin, bad, "third@example.com").await.assert_problem(400, "malformed-header");
    }
    assert_eq!(app.mails_to("grace@example.com").await.len(), 1);
    let stored = app.count(
        "SELECT count(*) FROM idempotency_keys WHERE position('grace' IN encode(response, 'escape')) > 0",
    );
    assert_eq!(stored, 0, "stored responses are encrypted");
}

#[tokio::test]
async fn a_change_of_the_role_acts_on_the_next_request() {
    let app = App::start();
    let (admin, user) = (app.admin().await, app.user().await);
    let replica = app.replica();
    let changed = change(&admin, &user, json!({"role": "admin"})).await.assert(200);
    assert_eq!((&changed.json()["role"], changed.header("etag")), (&"admin".into(), "\"2\""));
    user.get("/api/v1/user").await.assert_problem(401, "token-revoked");
    let promoted = app.login(&user.email).await;
    promoted.get(USERS).await.assert(200);
    change(&admin, &user, json!({"role": "user"})).await.assert(200);
    promoted.get(USERS).await.assert_problem(401, "token-revoked");
    let elsewhere = promoted.on(&replica.base);
    crate::support::eventually("the replica refuses it", async || elsewhere.get(USERS).await.status == 401)
        .await;
    app.login(&user.email).await.get(USERS).await.assert_problem(403, "forbidden");
}

#[tokio::test]
async fn a_disabled_account_cannot_be_used_and_gets_no_mail() {
    let app = App::start();
    let (admin, mut user) = (app.admin().await, app.confirmed_user().await);
    let forgot = json!({"email": user.email});
    app.anyone().post("/api/v1/auth/password/forgot", &forgot).await.assert(202);
    let reset = app.mail_to(&user.email).await.token();
    let disabled = json!({"disabled": true, "disabled_reason": "spam"});
    let answer = change(&admin, &user, disabled).await.assert(200).json();
    assert_eq!((&answer["status"], &answer["disabled_reason"]), (&"disabled".into(), &"spam".into()));
    let again = change(&admin, &user, json!({"disabled": true})).await.assert(200).json();
    assert_eq!(again["disabled_reason"], "spam", "a field that is absent stays as it is");

    user.get("/api/v1/user").await.assert_problem(401, "token-revoked");
    user.refresh().await.assert_problem(401, "invalid-refresh-token");
    log_in(&app, &user.email, PASSWORD).await.assert_problem(403, "account-disabled");
    log_in(&app, &user.email, "wrong").await.assert_problem(401, "invalid-credentials");
    let body = json!({"token": reset, "new_password": NEW_PASSWORD});
    app.anyone().post("/api/v1/auth/password/reset", &body).await.assert_problem(422, "invalid-code");
    app.anyone().post("/api/v1/auth/password/forgot", &forgot).await.assert(202);
    app.anyone().post("/api/v1/auth/confirm/resend", &forgot).await.assert(202);
    assert!(app.mails_to(&user.email).await.is_empty());
    let reset = format!("{}/password-reset", path(&user));
    admin.post_empty(&reset).await.assert_problem(409, "not-applicable");

    let enabled = change(&admin, &user, json!({"disabled": false})).await.assert(200).json();
    assert_eq!((&enabled["status"], &enabled["disabled_reason"]), (&"active".into(), &Value::Null));
    app.login(&user.email).await;
}

#[tokio::test]
async fn changes_are_checked_and_made_only_to_the_version_that_was_read() {
    let app = App::start();
    let (admin, user, other) = (app.admin().await, app.user().await, app.user().await);
    change(&admin, &other, json!({"username": "ada"})).await.assert(200);
    change(&admin, &user, json!({"username": "ADA"})).await.assert_problem(409, "username-taken");
    for field in ["role", "disabled"] {
        change(&admin, &user, json!({field: null})).await.assert_invalid(&format!("/{field}"), "type");
    }
    for hidden in ["a\nb", "a\u{202e}b"] {
        let body = json!({"disabled": true, "disabled_reason": hidden});
        change(&admin, &user, body).await.assert_invalid("/disabled_reason", "control-character");
    }
    change(&admin, &user, json!({"disabled_reason": "spam"}))
        .await
        .assert_invalid("/disabled_reason", "disabled");
    change(&admin, &user, json!({"disabled": false, "disabled_reason": "x"}))
        .await
        .assert_invalid("/disabled_reason", "disabled");
    change(&admin, &user, json!({"password": PASSWORD})).await.assert_invalid("/password", "unknown-field");
    change(&admin, &user, json!({"email": "x@example.com"})).await.assert_invalid("/email", "unknown-field");
    let named = change(&admin, &user, json!({"name": "Ada", "username": "support"})).await.assert(200);
    assert_eq!(named.json()["username"], "support", "an admin may give reserved names");
    let tag = named.header("etag").to_owned();
    let conditional = async |tag: &str| {
        let body = json!({"name": null});
        admin.send(Method::PATCH, &path(&user), |request| request.header("if-match", tag).json(&body)).await
    };
    conditional("\"1\"").await.assert_problem(412, "precondition-failed");
    assert_eq!(conditional(&tag).await.assert(200).json()["name"], Value::Null);
    let delete = admin.send(Method::DELETE, &path(&user), |request| request.header("if-match", tag)).await;
    delete.assert_problem(412, "precondition-failed");
    let nobody = format!("{USERS}/{}", Uuid::nil());
    admin.patch(&nobody, &json!({"name": "Ada"})).await.assert_problem(404, "not-found");
}

#[tokio::test]
async fn the_last_admin_stays() {
    let app = App::start();
    let (admin, other) = (app.admin().await, app.admin().await);
    change(&admin, &other, json!({"disabled": true})).await.assert(200);
    for body in [json!({"role": "user"}), json!({"disabled": true})] {
        change(&admin, &admin, body).await.assert_problem(409, "last-admin");
    }
    admin.delete(&path(&admin)).await.assert_problem(409, "last-admin");
    // An invited admin cannot log in yet.
    admin.post(USERS, &json!({"email": "grace@example.com", "role": "admin"})).await.assert(201);
    admin.delete(&path(&admin)).await.assert_problem(409, "last-admin");
    change(&admin, &admin, json!({"name": "Ada"})).await.assert(200);
    change(&admin, &other, json!({"disabled": false})).await.assert(200);
    admin.delete(&path(&admin)).await.assert(204);
}

#[tokio::test]
async fn of_two_admins_who_remove_each_other_at_once_one_stays() {
    let app = App::start();
    for _ in 0..5 {
        let (ada, bob) = (app.admin().await, app.admin().await);
        let (one, two) = (path(&ada), path(&bob));
        let (first, second) = join(ada.delete(&two), bob.delete(&one)).await;
        let statuses = [first.status.as_u16(), second.status.as_u16()];
        assert!(statuses.contains(&204), "{statuses:?}");
        let admins = "SELECT count(*) FROM users WHERE role = 'admin' AND deleted_at IS NULL";
        assert_eq!(app.count(admins), 1, "{statuses:?}");
        app.count("WITH gone AS (UPDATE users SET role = 'user' RETURNING 1) SELECT count(*) FROM gone");
    }
}

#[tokio::test]
async fn a_deleted_account_frees_its_names_and_can_be_restored() {
    let app = App::start();
    let (admin, user) = (app.admin().await, app.user().await);
    user.patch("/api/v1/user", &json!({"username": "ada"})).await.assert(200);
    admin.delete(&path(&user)).await.assert(204);
    admin.delete(&path(&user)).await.assert_problem(404, "not-found");
    change(&admin, &user, json!({"name": "Ada"})).await.assert_problem(404, "not-found");
    user.get("/api/v1/user").await.assert_problem(401, "token-revoked");
    log_in(&app, &user.email, PASSWORD).await.assert_problem(401, "invalid-credentials");
    let login = json!({"username": "ada", "password": PASSWORD});
    app.anyone().post("/api/v1/auth/login", &login).await.assert_problem(401, "invalid-credentials");
    app.anyone().post("/api/v1/auth/password/forgot", &json!({"email": user.email})).await.assert(202);
    assert!(app.mails_to(&user.email).await.is_empty());
    let deleted = admin.get(&path(&user)).await.assert(200).json();
    assert_eq!((&deleted["status"], &deleted["email"]), (&"deleted".into(), &user.email.clone().into()));
    assert!(deleted["purge_at"].is_string());
    let list = async |query: &str| {
        let page = admin.get(&format!("{USERS}?{query}")).await.assert(200).json();
        page["data"].as_array().unwrap().iter().filter(|one| one["id"] == user.id).count()
    };
    assert_eq!((list("").await, list("status=deleted").await, list("status=active").await), (0, 1, 0));

    let restore = format!("{}/restore", path(&user));
    let restored = admin.post_empty(&restore).await.assert(200).json();
    assert_eq!((&restored["status"], &restored["username"]), (&"unconfirmed".into(), &"ada".into()));
    app.login(&user.email).await;
    admin.post_empty(&restore).await.assert(200);

    admin.delete(&path(&user)).await.assert(204);
    app.register(&user.email).await;
    admin.post_empty(&restore).await.assert_problem(409, "email-taken");
}

#[tokio::test]
async fn a_deleted_account_is_purged_after_its_time() {
    let app = App::with(&[("ACCOUNT_DELETION_GRACE", "1h")]);
    let (admin, user) = (app.admin().await, app.user().await);
    user.send(Method::PUT, "/api/v1/user/watchlist/BTC", |request| request).await.assert(204);
    admin.delete(&path(&user)).await.assert(204);
    app.clock.advance(std::time::Duration::from_secs(3700));
    let rows = "SELECT count(*) FROM users WHERE deleted_at IS NOT NULL";
    crate::support::eventually("the account is purged", async || app.count(rows) == 0).await;
    assert_eq!(app.count("SELECT count(*) FROM watchlist"), 0);
}

#[tokio::test]
async fn an_admin_ends_the_sessions_of_a_user() {
    let app = App::start();
    let (admin, user) = (app.admin().await, app.user().await);
    let second = app.login(&user.email).await;
    admin.delete(&format!("{}/sessions", path(&user))).await.assert(204);
    for client in [&user, &second] {
        client.get("/api/v1/user").await.assert_problem(401, "token-revoked");
    }
    admin.delete(&format!("{USERS}/{}/sessions", Uuid::nil())).await.assert_problem(404, "not-found");
}

#[tokio::test]
async fn an_admin_starts_a_reset_and_the_present_password_works_until_then() {
    let app = App::start();
    let (admin, user) = (app.admin().await, app.user().await);
    admin.post_empty(&format!("{}/password-reset", path(&user))).await.assert(202);
    let token = app.mail_to(&user.email).await.token();
    app.login(&user.email).await;
    let body = json!({"token": token, "new_password": NEW_PASSWORD});
    app.anyone().post("/api/v1/auth/password/reset", &body).await.assert(204);
    log_in(&app, &user.email, NEW_PASSWORD).await.assert(200);
}

/// Deletes the own account and returns the token of the mail that restores it.
async fn delete_own_account(app: &App, user: &Client) -> Value {
    // Those about log-ins.
    app.mails_to(&user.email).await;
    let body = json!({"password": PASSWORD});
    user.send(Method::DELETE, "/api/v1/user", |request| request.json(&body)).await.assert(204);
    json!({"token": app.mail_to(&user.email).await.token()})
}

#[tokio::test]
async fn an_account_whose_address_was_taken_is_restored_after_that_account_is_gone() {
    let app = App::start();
    let user = app.confirmed_user().await;
    let restore = delete_own_account(&app, &user).await;
    app.register(&user.email).await;
    let second = app.login(&user.email).await;
    for _ in 0..2 {
        let refused = app.anyone().post("/api/v1/auth/account/restore", &restore).await;
        let problem = refused.assert_problem(409, "email-taken").json();
        let detail = problem["detail"].as_str().unwrap();
        assert!(detail.contains("delete that account or change its address"), "{detail}");
        assert!(problem.get("errors").is_none(), "the request has no such field");
    }
    let body = json!({"password": PASSWORD});
    second.send(Method::DELETE, "/api/v1/user", |request| request.json(&body)).await.assert(204);
    app.anyone().post("/api/v1/auth/account/restore", &restore).await.assert(204);
    assert_eq!(app.login(&user.email).await.get("/api/v1/user").await.json()["id"], user.id);
}

#[tokio::test]
async fn an_account_whose_username_was_taken_is_restored_without_it() {
    let app = App::start();
    let (owner, admin) = (app.confirmed_user().await, app.admin().await);
    for restored_by_admin in [false, true] {
        let owner = app.login(&owner.email).await;
        owner.patch("/api/v1/user", &json!({"username": "Ada"})).await.assert(200);
        let restore = delete_own_account(&app, &owner).await;
        let other = app.user().await;
        other.patch("/api/v1/user", &json!({"username": "ada"})).await.assert(200);
        if restored_by_admin {
            admin.post_empty(&format!("{}/restore", path(&owner))).await.assert(200);
        } else {
            app.anyone().post("/api/v1/auth/account/restore", &restore).await.assert(204);
        }
        let account = app.login(&owner.email).await.get("/api/v1/user").await.assert(200).json();
        assert_eq!((&account["id"], &account["username"]), (&owner.id.clone().into(), &Value::Null));
        other.patch("/api/v1/user", &json!({"username": null})).await.assert(200);
    }
}

#[tokio::test]
async fn a_user_restores_the_deleted_account_by_mail() {
    let app = App::start();
    let user = app.confirmed_user().await;
    user.send(Method::PUT, "/api/v1/user/watchlist/BTC", |request| request).await.assert(204);
    let body = json!({"password": PASSWORD});
    user.send(Method::DELETE, "/api/v1/user", |request| request.json(&body)).await.assert(204);
    log_in(&app, &user.email, PASSWORD).await.assert_problem(401, "invalid-credentials");
    let mail = app.mail_to(&user.email).await;
    assert!(mail.link().starts_with("http://mintage.test/restore-account#token="), "{}", mail.link());
    let restore = json!({"token": mail.token()});
    app.anyone().post("/api/v1/auth/account/restore", &restore).await.assert(204);
    app.anyone().post("/api/v1/auth/account/restore", &restore).await.assert_problem(422, "invalid-code");
    let user = app.login(&user.email).await;
    let watched = user.get("/api/v1/user/watchlist").await.assert(200).json();
    assert_eq!(watched["data"].as_array().unwrap().len(), 1);
}
