//! Many uploads at once.

use std::{fs, time::Duration};

use futures_util::{StreamExt, future::join_all, stream};
use reqwest::{Body, Method, RequestBuilder};
use serde_json::json;

use super::samples::{AVATAR, BLUE, GREEN, RED, WHITE, path, png, quarters, upload, upload_one};
use crate::support::{App, Client, PASSWORD, eventually};

/// Begins to upload a picture and never ends. Begins again if it is refused.
async fn upload_without_end(client: &Client) {
    let file = png(&quarters(20, 20), 1);
    let (half, _) = file.split_at(file.len() / 2);
    loop {
        let half = stream::iter([Ok::<_, std::io::Error>(half.to_vec())]);
        let body = Body::wrap_stream(half.chain(stream::pending()));
        let build = |request: RequestBuilder| request.header("content-type", "image/png").body(body);
        client.send(Method::PUT, AVATAR, build).await;
    }
}

/// Repeats an upload until it has this outcome.
async fn until(client: &Client, status: u16, code: Option<&str>) {
    eventually(&format!("{status} {code:?}"), async || {
        let answer = upload(client, "image/png", png(&quarters(20, 20), 1)).await;
        answer.status == status && code.is_none_or(|code| answer.json()["code"] == code)
    })
    .await;
}

#[tokio::test]
async fn endless_uploads_of_one_network_leave_places_for_others() {
    let app = App::with(&[("TRUSTED_PROXIES", "127.0.0.1/32")]);
    let endless = app.user().await.at("203.0.113.7");
    let other = app.user().await.at("198.51.100.7");
    tokio::select! {
        _ = join_all((0..8).map(|_| upload_without_end(&endless))) => {}
        () = async {
            until(&endless, 429, Some("too-many-requests")).await;
            upload(&other, "image/png", png(&quarters(20, 20), 1)).await.assert(200);
        } => {}
    }
    until(&endless, 200, None).await;
}

#[tokio::test]
async fn uploads_beyond_all_places_are_an_early_503() {
    let app = App::with(&[("TRUSTED_PROXIES", "127.0.0.1/32")]);
    let mut clients = Vec::new();
    for network in 0..5 {
        clients.push(app.user().await.at(&format!("203.0.{network}.7")));
    }
    let (last, endless) = clients.split_last().unwrap();
    let uploads = endless.iter().flat_map(|client| (0..8).map(|_| upload_without_end(client)));
    tokio::select! {
        _ = join_all(uploads) => {}
        () = until(last, 503, Some("overloaded")) => {}
    }
    until(last, 200, None).await;
}

#[tokio::test]
async fn of_uploads_at_once_one_remains_with_its_files() {
    let app = App::start();
    let user = app.user().await;
    join_all([RED, GREEN, BLUE, WHITE].map(|colour| upload_one(&user, colour))).await;
    let address =
        user.get("/api/v1/user").await.assert(200).json()["avatar_url"].as_str().unwrap().to_owned();
    user.get(&address).await.assert(200);
    let pictures = || {
        let parts = fs::read_dir(app.storage().join("pictures")).unwrap();
        parts
            .flat_map(|part| fs::read_dir(part.unwrap().path()).unwrap())
            .flat_map(|picture| fs::read_dir(picture.unwrap().path()).unwrap())
            .count()
    };
    eventually("the files of one picture", async || pictures() == 4).await;
    user.get(&address).await.assert(200);
}

#[tokio::test]
async fn a_restored_account_has_its_picture() {
    let app = App::with(&[("ACCOUNT_DELETION_GRACE", "1h")]);
    let (user, admin) = (app.user().await, app.admin().await);
    let address = upload_one(&user, RED).await;
    let body = json!({"password": PASSWORD});
    user.send(Method::DELETE, "/api/v1/user", |request| request.json(&body)).await.assert(204);
    admin.get(&path(&user, 64)).await.assert_problem(404, "not-found");
    app.clock.advance(Duration::from_mins(30));
    let admin = app.login(&admin.email).await;
    admin.post_empty(&format!("/api/v1/users/{}/restore", user.id)).await.assert(200);
    admin.get(&address).await.assert(200);
}
