//! `/api/v1/user`: reading, changing and deleting one's own account.

use diesel::{RunQueryDsl, sql_query};
use futures_util::future::join_all;
use reqwest::Method;
use serde_json::json;

use crate::support::{App, Client, PASSWORD, Response};

const PATH: &str = "/api/v1/user";

async fn patch_if(client: &Client, etag: &str, body: &serde_json::Value) -> Response {
    client.send(Method::PATCH, PATH, |request| request.header("if-match", etag).json(body)).await
}

#[tokio::test]
async fn a_user_changes_name_and_username_and_clears_them() {
    let app = App::start();
    let client = app.user().await;
    let user = client.patch(PATH, &json!({"name": " Ada ", "username": "ada"})).await.assert(200).json();
    assert_eq!((&user["name"], &user["username"]), (&json!("Ada"), &json!("ada")));
    let user = client.patch(PATH, &json!({"name": null})).await.assert(200).json();
    assert_eq!((&user["name"], &user["username"]), (&json!(null), &json!("ada")));
    let read = client.get(PATH).await.assert(200).json();
    assert_eq!(read, user);
}

#[tokio::test]
async fn other_fields_cannot_be_changed() {
    let app = App::start();
    let client = app.user().await;
    for field in ["role", "email", "password", "id", "created_at"] {
        let body = json!({ field: "admin" });
        client.patch(PATH, &body).await.assert_invalid(&format!("/{field}"), "unknown-field");
    }
    let bad = json!({"name": "a\u{202e}b", "username": "a@b"});
    let response = client.patch(PATH, &bad).await.assert_invalid("/name", "control-character");
    response.assert_invalid("/username", "username");
}

#[tokio::test]
async fn a_taken_username_is_a_conflict() {
    let app = App::start();
    let (ada, bob) = (app.user().await, app.user().await);
    ada.patch(PATH, &json!({"username": "ada"})).await.assert(200);
    bob.patch(PATH, &json!({"username": "Ada"})).await.assert_problem(409, "username-taken");
    ada.patch(PATH, &json!({"username": "ADA"})).await.assert(200);
}

#[tokio::test]
async fn a_change_of_an_outdated_version_is_refused() {
    let app = App::start();
    let client = app.user().await;
    let etag = client.get(PATH).await.assert(200).header("etag").to_owned();
    let changed = patch_if(&client, &etag, &json!({"name": "Ada"})).await.assert(200);
    assert_ne!(changed.header("etag"), etag);
    patch_if(&client, &etag, &json!({"name": "Bob"})).await.assert_problem(412, "precondition-failed");
    let weak = format!("W/{}", changed.header("etag"));
    patch_if(&client, &weak, &json!({"name": "Bob"})).await.assert_problem(412, "precondition-failed");
    patch_if(&client, "nonsense", &json!({"name": "Bob"})).await.assert_problem(400, "malformed-header");
    let several = format!("\"x\", {}", changed.header("etag"));
    patch_if(&client, &several, &json!({"name": "Bob"})).await.assert(200);
    patch_if(&client, "*", &json!({"name": "Eve"})).await.assert(200);
}

#[tokio::test]
async fn names_that_are_invisible_or_hide_text_are_refused() {
    let app = App::start();
    let client = app.user().await;
    for name in ["\u{200e}\u{200f}", "Ada\u{e0041}", "A\u{ad}da", "\u{3164}", "Ada\u{200d}", "\u{2800}"] {
        client.patch(PATH, &json!({"name": name})).await.assert_invalid("/name", "control-character");
    }
    client.patch(PATH, &json!({"name": "\u{301}"})).await.assert_invalid("/name", "invisible");
    for name in ["می\u{200c}خواهم", "🏳\u{fe0f}\u{200d}🌈", "葛\u{e0100}城"] {
        let user = client.patch(PATH, &json!({"name": name})).await.assert(200).json();
        assert_eq!(user["name"], name);
    }
}

#[tokio::test]
async fn a_reserved_username_is_refused_but_existing_ones_are_kept() {
    let app = App::start();
    let client = app.user().await;
    for username in ["admin", "No-Reply", "Sup.port", "mintage"] {
        client.patch(PATH, &json!({"username": username})).await.assert_invalid("/username", "reserved");
    }
    let old = "UPDATE users SET username = 'Support', username_canonical = 'support'";
    sql_query(old).execute(&mut app.sql()).unwrap();
    let whole = json!({"name": "Ada", "username": "support"});
    let user = client.patch(PATH, &whole).await.assert(200).json();
    assert_eq!((&user["name"], &user["username"]), (&json!("Ada"), &json!("support")));
    client.patch(PATH, &json!({"username": "admin"})).await.assert_invalid("/username", "reserved");
}

#[tokio::test]
async fn deleting_the_account_asks_for_the_password_and_ends_all_sessions() {
    let app = App::start();
    let phone = app.user().await;
    let laptop = app.login(&phone.email).await;
    let delete = async |password: &str| {
        let body = json!({"password": password});
        phone.send(Method::DELETE, PATH, |request| request.json(&body)).await
    };
    delete("a wrong password").await.assert_problem(403, "wrong-password");
    laptop.get(PATH).await.assert(200);

    delete(PASSWORD).await.assert(204);
    laptop.get(PATH).await.assert_problem(401, "token-revoked");
    phone.get(PATH).await.assert_problem(401, "token-revoked");
    let body = json!({"email": phone.email, "password": PASSWORD});
    app.anyone().post("/api/v1/auth/login", &body).await.assert_problem(401, "invalid-credentials");
    app.register(&phone.email).await;
}

#[tokio::test]
async fn of_deletions_at_once_one_is_made_and_its_link_works() {
    let app = App::start();
    let user = app.confirmed_user().await;
    let body = json!({"password": PASSWORD});
    let delete = |request: reqwest::RequestBuilder| request.json(&body);
    let all = join_all((0..4).map(|_| user.send(Method::DELETE, PATH, delete))).await;
    assert_eq!(all.iter().filter(|response| response.status == 204).count(), 1);
    let deleted = format!(
        "SELECT count(*) FROM security_events WHERE kind = 'user-deleted' AND user_id = '{}'",
        user.id
    );
    assert_eq!(app.count(&deleted), 1);
    let mails = app.mails_to(&user.email).await;
    let mail = mails.iter().find(|mail| mail.text.contains("restore")).expect("a link");
    let token = json!({"token": mail.token()});
    app.anyone().post("/api/v1/auth/account/restore", &token).await.assert(204);
}

#[tokio::test]
async fn a_deletion_is_mailed_to_the_confirmed_address_only() {
    let app = App::start();
    let (ada, stranger) = (app.confirmed_user().await, app.user().await);
    for client in [&ada, &stranger] {
        let body = json!({"password": PASSWORD});
        client.send(Method::DELETE, PATH, |request| request.json(&body)).await.assert(204);
    }
    let mails = app.mails_to(&ada.email).await;
    assert_eq!(mails.len(), 1);
    assert_eq!(mails[0].subject, "Your account was deleted");
    assert!(mails[0].link().contains("/restore-account#token="), "{}", mails[0].text);
    assert!(app.mails_to(&stranger.email).await.is_empty(), "anyone can register and delete it again");
}

#[tokio::test]
async fn no_login_that_races_the_deletion_leaves_a_token_behind() {
    let app = App::start();
    for _ in 0..10 {
        let client = app.user().await;
        let body = json!({"email": client.email, "password": PASSWORD});
        let (deletes, logins) = (json!({"password": PASSWORD}), [app.anyone(), app.anyone(), app.anyone()]);
        let delete = client.send(Method::DELETE, PATH, |request| request.json(&deletes));
        let logins = join_all(logins.iter().map(|one| one.post("/api/v1/auth/login", &body)));
        let (deleted, logins) = tokio::join!(delete, logins);
        deleted.assert(204);
        for login in logins {
            if login.status == 200 {
                let token = login.json()["access_token"].as_str().unwrap().to_owned();
                client.bearing(&token).get("/api/v1/coins").await.assert_problem(401, "token-revoked");
            } else {
                login.assert_problem(401, "invalid-credentials");
            }
        }
    }
}
