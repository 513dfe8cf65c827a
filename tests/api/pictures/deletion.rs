//! How pictures go: replaced, removed, with their account, and those that were left behind.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    time::Duration,
};

use reqwest::Method;
use serde_json::{Value, json};

use super::samples::{AVATAR, BLUE, RED, path, png, quarters, upload, upload_one};
use crate::support::{App, PASSWORD, eventually};

fn files(directory: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(directory) else {
        return Vec::new();
    };
    let paths = entries.map(|entry| entry.unwrap().path());
    paths.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

async fn assert_stored(app: &App, count: usize) {
    eventually(&format!("{count} files"), async || files(&app.storage()).len() == count).await;
}

#[tokio::test]
async fn the_files_of_a_replaced_picture_are_deleted() {
    let app = App::start();
    let user = app.user().await;
    upload_one(&user, RED).await;
    let first = files(&app.storage());
    assert_eq!(first.len(), 4);
    upload_one(&user, BLUE).await;
    assert_stored(&app, 4).await;
    assert!(first.iter().all(|path| !path.exists()));
    // Also with the same content, and back to an earlier one.
    upload_one(&user, BLUE).await;
    let address = upload_one(&user, RED).await;
    assert_stored(&app, 4).await;
    user.get(&address).await.assert(200);
}

#[tokio::test]
async fn a_picture_that_is_replaced_leaves_no_directory_and_no_one_else_reads_the_files() {
    let app = App::start();
    let user = app.user().await;
    for colour in [RED, BLUE, RED] {
        upload_one(&user, colour).await;
    }
    user.delete(AVATAR).await.assert(204);
    assert_stored(&app, 0).await;
    app.idle().await;
    let pictures = app.storage().join("pictures");
    let left = fs::read_dir(&pictures).map_or(0, Iterator::count);
    assert_eq!(left, 0, "directories in {}", pictures.display());
    assert_eq!(fs::metadata(app.storage()).unwrap().permissions().mode() & 0o777, 0o700);
}

#[tokio::test]
async fn a_picture_is_changed_only_in_the_version_that_was_read() {
    let app = App::start();
    let (user, admin) = (app.user().await, app.admin().await);
    let of_user = format!("/api/v1/users/{}/avatar", user.id);
    let current = user.get("/api/v1/user").await.assert(200).header("etag").to_owned();
    upload_one(&user, RED).await;
    let old = |request: reqwest::RequestBuilder| request.header("if-match", &current);
    for (client, path) in [(&user, AVATAR), (&admin, of_user.as_str())] {
        client.send(Method::DELETE, path, old).await.assert_problem(412, "precondition-failed");
    }
    let file = png(&quarters(20, 20), 1);
    let put = |request: reqwest::RequestBuilder| {
        old(request).header("content-type", "image/png").body(file.clone())
    };
    user.send(Method::PUT, AVATAR, put).await.assert_problem(412, "precondition-failed");
    let current = user.get("/api/v1/user").await.assert(200).header("etag").to_owned();
    user.send(Method::DELETE, AVATAR, |request| request.header("if-match", &current)).await.assert(204);
}

#[tokio::test]
async fn users_delete_their_picture() {
    let app = App::start();
    let user = app.user().await;
    upload_one(&user, RED).await;
    for _ in 0..2 {
        user.delete(AVATAR).await.assert(204);
    }
    user.get(&path(&user, 64)).await.assert_problem(404, "not-found");
    assert_eq!(user.get("/api/v1/user").await.assert(200).json()["avatar_url"], Value::Null);
    assert_stored(&app, 0).await;
}

#[tokio::test]
async fn admins_delete_pictures_and_the_trail_has_it() {
    let app = App::start();
    let (user, admin) = (app.user().await, app.admin().await);
    let address = upload_one(&user, RED).await;
    user.delete(&path(&admin, 64)).await.assert_problem(403, "forbidden");
    admin.get(&address).await.assert(200);
    let of_user = format!("/api/v1/users/{}/avatar", user.id);
    for _ in 0..2 {
        admin.delete(&of_user).await.assert(204);
    }
    user.get(&address).await.assert_problem(404, "not-found");
    assert_stored(&app, 0).await;
    assert_eq!(app.count("SELECT count(*) FROM security_events WHERE kind = 'avatar-deleted'"), 1);
}

#[tokio::test]
async fn a_deleted_account_hides_its_picture_and_a_purged_one_loses_it() {
    let app = App::with(&[("ACCOUNT_DELETION_GRACE", "1h")]);
    let (user, other) = (app.user().await, app.user().await);
    let address = upload_one(&user, RED).await;
    let body = json!({"password": PASSWORD});
    user.send(reqwest::Method::DELETE, "/api/v1/user", |request| request.json(&body)).await.assert(204);
    other.get(&address).await.assert_problem(404, "not-found");
    assert_eq!(files(&app.storage()).len(), 4, "it can be restored");
    app.clock.advance(Duration::from_hours(2));
    assert_stored(&app, 0).await;
}

#[tokio::test]
async fn files_that_belong_to_no_account_are_swept_after_a_day() {
    let app = App::start();
    let user = app.user().await;
    let address = upload_one(&user, RED).await;
    let orphan = app.storage().join("pictures/ab").join("ab".repeat(32));
    fs::create_dir_all(&orphan).unwrap();
    fs::write(orphan.join("64.webp"), "x").unwrap();
    let foreign = app.storage().join("pictures/README");
    fs::write(&foreign, "not ours").unwrap();
    assert_eq!(files(&app.storage()).len(), 6);
    app.clock.advance(Duration::from_hours(49));
    eventually("the orphan is gone", async || !orphan.join("64.webp").exists()).await;
    app.idle().await;
    assert_eq!(files(&app.storage()).len(), 5);
    assert!(foreign.exists());
    let user = app.login(&user.email).await;
    user.get(&address).await.assert(200);
}

#[tokio::test]
async fn a_database_without_pictures_deletes_no_files() {
    let app = App::start();
    app.user().await;
    let orphan = app.storage().join("pictures/ab").join("ab".repeat(32));
    fs::create_dir_all(&orphan).unwrap();
    fs::write(orphan.join("64.webp"), "x").unwrap();
    app.idle().await;
    let slot =
        "SELECT extract(epoch FROM slot)::bigint AS count FROM job_schedules WHERE name = 'sweep-pictures'";
    let before = app.count(slot);
    app.clock.advance(Duration::from_hours(49));
    eventually("another sweep", async || app.count(slot) > before).await;
    app.idle().await;
    assert!(orphan.join("64.webp").exists());
}

#[tokio::test]
async fn a_storage_that_is_away_answers_503_and_nothing_is_lost() {
    let app = App::start();
    let user = app.user().await;
    let address = upload_one(&user, RED).await;
    // A file in the place of the directory: neither reads nor writes work.
    let (storage, aside) = (app.storage(), app.storage().with_extension("aside"));
    fs::rename(&storage, &aside).unwrap();
    fs::write(&storage, "not a directory").unwrap();
    let failed = user.get(&address).await.assert_problem(503, "unavailable");
    assert!(failed.header("retry-after").parse::<u64>().unwrap() >= 1);
    let failed = upload(&user, "image/png", png(&quarters(20, 20), 1)).await;
    failed.assert_problem(503, "unavailable").header("retry-after");
    assert_eq!(user.get("/api/v1/user").await.assert(200).json()["avatar_url"], address);
    // Deleting works at once, and the files follow when the storage is back.
    user.delete(AVATAR).await.assert(204);
    fs::remove_file(&storage).unwrap();
    fs::rename(&aside, &storage).unwrap();
    app.clock.advance(Duration::from_mins(2));
    assert_stored(&app, 0).await;
}
