//! Pictures in a bucket, against a server that speaks the S3 protocol.

use std::{fs, net::TcpListener, path::Path, thread, time::Duration};

use hyper_util::{rt::TokioIo, server::conn::auto::Builder};
use mintage::{
    config::{self, Secret},
    storage::{Storage, StorageError},
};
use s3s::{auth::SimpleAuth, service::S3ServiceBuilder};
use tempfile::TempDir;
use tokio::runtime;

use super::samples::{AVATAR, RED, path, png, quarters, upload, upload_one};
use crate::support::{
    App, eventually,
    upstream::{Reply, Upstream},
};

const KEY_ID: &str = "an-access-key";
const SECRET: &str = "a-secret-access-key";

/// Accepts connections and never answers. Returns its address, and the listener that has to be kept.
fn silent() -> (String, TcpListener) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    (format!("http://{}", listener.local_addr().unwrap()), listener)
}

/// Serves the buckets in a directory until the tests end. Returns its address.
fn serve(root: &Path) -> String {
    let files = s3s_fs::FileSystem::new(root).expect("a file system");
    let mut service = S3ServiceBuilder::new(files);
    service.set_auth(SimpleAuth::from_single(KEY_ID, SECRET));
    let service = service.build();
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = format!("http://{}", listener.local_addr().unwrap());
    listener.set_nonblocking(true).unwrap();
    thread::spawn(move || {
        let runtime = runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let listener = tokio::net::TcpListener::from_std(listener).unwrap();
            while let Ok((stream, _)) = listener.accept().await {
                let service = service.clone();
                tokio::spawn(async move {
                    let server = Builder::new(hyper_util::rt::TokioExecutor::new());
                    let _ = server.serve_connection(TokioIo::new(stream), service).await;
                });
            }
        });
    });
    address
}

fn app_on(endpoint: &str, secret: &str) -> App {
    App::with(&[
        ("STORAGE_URL", "s3://media/of/mintage"),
        ("S3_ENDPOINT", endpoint),
        ("S3_ACCESS_KEY_ID", KEY_ID),
        ("S3_SECRET_ACCESS_KEY", secret),
    ])
}

#[tokio::test]
async fn pictures_are_stored_in_a_bucket_and_deleted_from_it() {
    let root = TempDir::new().unwrap();
    fs::create_dir(root.path().join("media")).unwrap();
    let app = app_on(&serve(root.path()), SECRET);
    let user = app.user().await;
    let address = upload_one(&user, RED).await;
    user.get(&address).await.assert(200);
    let hash = address.rsplit('=').next().unwrap();
    let directory = root.path().join(format!("media/of/mintage/pictures/{}/{hash}", hash.get(..2).unwrap()));
    let count = || {
        fs::read_dir(&directory).map_or(0, |entries| {
            entries
                .filter(|entry| entry.as_ref().unwrap().path().extension().is_some_and(|end| end == "webp"))
                .count()
        })
    };
    assert_eq!(count(), 4);
    user.delete(AVATAR).await.assert(204);
    eventually("an empty directory", async || count() == 0).await;
}

#[tokio::test]
async fn a_presigned_address_reads_one_file_without_credentials() {
    let root = TempDir::new().unwrap();
    fs::create_dir(root.path().join("media")).unwrap();
    let settings = config::Storage::S3(config::S3 {
        bucket: "media".into(),
        prefix: "of/mintage".into(),
        endpoint: Some(serve(root.path())),
        region: "us-east-1".into(),
        login: Some((KEY_ID.into(), Secret::new(SECRET))),
        path_style: true,
    });
    let storage = Storage::open(&settings).unwrap();
    storage.put("a/b.webp", b"content".to_vec()).await.unwrap();
    let url = storage.presigned_read("a/b.webp", Duration::from_mins(1)).await.unwrap().unwrap();
    assert!(!url.contains(SECRET));
    let read = async |url: &str| reqwest::get(url).await.unwrap();
    assert_eq!(read(&url).await.bytes().await.unwrap(), "content");
    assert!(read(&url.replace("b.webp", "c.webp")).await.status().is_client_error());
    assert!(read(url.split('?').next().unwrap()).await.status().is_client_error());

    assert_eq!(storage.get("a/b.webp", 7).await.unwrap().unwrap(), b"content");
    assert!(matches!(storage.get("a/b.webp", 6).await, Err(StorageError::TooLarge(6))));
    let keys = storage.list("a", 10).await.unwrap();
    assert_eq!(keys.iter().map(|file| file.key.as_str()).collect::<Vec<_>>(), ["a/b.webp"]);
    for _ in 0..2 {
        storage.delete("a/b.webp").await.unwrap();
    }
    assert!(storage.get("a/b.webp", 7).await.unwrap().is_none());
}

#[tokio::test]
async fn a_bucket_that_is_away_or_refuses_us_answers_503() {
    let root = TempDir::new().unwrap();
    fs::create_dir(root.path().join("media")).unwrap();
    let nowhere = {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        format!("http://{}", listener.local_addr().unwrap())
    };
    for (endpoint, secret) in [(nowhere, SECRET), (serve(root.path()), "another-secret")] {
        let app = app_on(&endpoint, secret);
        let user = app.user().await;
        let failed = upload(&user, "image/png", png(&quarters(20, 20), 1)).await;
        assert!(!failed.text().contains("127.0.0.1") && !failed.text().contains(KEY_ID));
        failed.assert_problem(503, "unavailable").header("retry-after");
    }
}

#[tokio::test]
async fn a_bucket_that_is_gone_is_a_503_and_no_missing_picture() {
    let body = b"<Error><Code>NoSuchBucket</Code><BucketName>media</BucketName></Error>".to_vec();
    let upstream = Upstream::start(vec![Reply::Http(404, "content-type: application/xml\r\n", body)]).await;
    let app = app_on(&upstream.url, SECRET);
    let user = app.user().await;
    app.update_user(&user, &format!("avatar_hash = '{}'", "a".repeat(64)));
    user.get(&path(&user, 64)).await.assert_problem(503, "unavailable");
}

#[tokio::test]
async fn a_bucket_that_never_answers_is_a_503_and_holds_up_nothing_else() {
    let (endpoint, _silent) = silent();
    let app = app_on(&endpoint, SECRET);
    let (user, other) = (app.user().await, app.user().await);
    let file = png(&quarters(20, 20), 1);
    let uploading = upload(&user, "image/png", file);
    let reading = async {
        for _ in 0..20 {
            other.get("/api/v1/user").await.assert(200);
        }
    };
    let (failed, ()) = tokio::join!(uploading, reading);
    failed.assert_problem(503, "unavailable").header("retry-after");
    assert_eq!(user.get("/api/v1/user").await.assert(200).json()["avatar_url"], serde_json::Value::Null);
}
