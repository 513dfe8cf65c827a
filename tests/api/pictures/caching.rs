//! Who sees a picture, and how long it is cached.

use uuid::Uuid;

use super::samples::{BLUE, RED, path, upload_one};
use crate::support::App;

#[tokio::test]
async fn every_user_sees_the_pictures_of_others() {
    let app = App::start();
    let (owner, other) = (app.user().await, app.user().await);
    other.get(&path(&owner, 64)).await.assert_problem(404, "not-found");
    let address = upload_one(&owner, RED).await;
    for client in [&owner, &other, &app.admin().await] {
        client.get(&address).await.assert(200);
    }
    app.anyone().get(&address).await.assert_problem(401, "missing-token");
    let nobody = format!("/api/v1/users/{}/avatar", Uuid::now_v7());
    other.get(&nobody).await.assert_problem(404, "not-found");
    other
        .get(&format!("/api/v1/users/{}/avatar?size=100", owner.id))
        .await
        .assert_problem(400, "malformed-query");
    other.get("/api/v1/users/1/avatar").await.assert_problem(400, "malformed-path");
}

#[tokio::test]
async fn an_address_with_the_current_version_is_cached_for_a_year_and_others_are_revalidated() {
    let app = App::start();
    let user = app.user().await;
    let first = upload_one(&user, RED).await;
    let response = user.get(&first).await.assert(200);
    assert_eq!(response.header("cache-control"), "private, max-age=31536000, immutable");
    assert_eq!(response.header("x-content-type-options"), "nosniff");
    assert_eq!(response.header("content-disposition"), "inline");
    assert_eq!(response.header("content-security-policy"), "default-src 'none'");

    let second = upload_one(&user, BLUE).await;
    assert_ne!(first, second);
    for address in [first, path(&user, 256)] {
        let response = user.get(&address).await.assert(200);
        assert_eq!(response.header("cache-control"), "private, no-cache");
        let tag = response.header("etag").to_owned();
        let conditional = |tag: &str| {
            let tag = tag.to_owned();
            let (user, address) = (user.clone(), address.clone());
            async move {
                user.send(reqwest::Method::GET, &address, |request| request.header("if-none-match", tag))
                    .await
            }
        };
        let same = conditional(&tag).await.assert(304);
        assert!(same.body.is_empty() && same.header("etag") == tag);
        conditional("\"other\"").await.assert(200);
        let other_size = user.get(&path(&user, 64)).await.assert(200);
        assert_ne!(other_size.header("etag"), tag);
    }
}
