//! Entity tags and content codings of `GET /coins`.

use reqwest::Method;

use crate::support::{App, begin_minutes, market::COINS};

#[tokio::test]
async fn an_unchanged_response_is_a_304() {
    let app = App::start();
    let user = app.user().await;
    // The age of the data changes with the minute.
    begin_minutes(&app.clock, 1);
    let get = async |path: &str, etag: &str| {
        user.send(Method::GET, path, |request| request.header("if-none-match", etag)).await
    };
    for path in [COINS.to_owned(), format!("{COINS}?limit=3"), format!("{COINS}/btc")] {
        let first = user.get(&path).await.assert(200);
        let etag = first.header("etag").to_owned();
        assert_eq!(first.header("cache-control"), "private, no-cache");
        for tag in [etag.clone(), format!("W/{etag}"), format!("\"x\", {etag}"), "*".to_owned()] {
            let again = get(&path, &tag).await.assert(304);
            assert_eq!((again.header("etag"), again.body.len()), (etag.as_str(), 0));
        }
        get(&path, "\"x\"").await.assert(200);
        get(&path, "nonsense").await.assert(200);
    }
    app.anyone().get(COINS).await.assert(401);
    user.post_empty("/api/v1/auth/logout").await.assert(204);
    let etag = app.user().await.get(COINS).await.header("etag").to_owned();
    get(COINS, &etag).await.assert_problem(401, "token-revoked");
}

#[tokio::test]
async fn each_content_coding_has_the_same_body_and_its_own_entity_tag() {
    let app = App::start();
    let user = app.user().await;
    begin_minutes(&app.clock, 1);
    let get = async |coding: &str| {
        user.send(Method::GET, COINS, |request| request.header("accept-encoding", coding)).await.assert(200)
    };
    let plain = get("identity").await;
    let mut tags = vec![plain.header("etag").to_owned()];
    for coding in ["br", "zstd", "gzip"] {
        let packed = get(coding).await;
        assert_eq!(packed.header("content-encoding"), coding);
        assert!(packed.header("vary").starts_with("accept, accept-encoding"), "{}", packed.header("vary"));
        tags.push(packed.header("etag").to_owned());
        let mut unpacked = Vec::new();
        match coding {
            "br" => {
                std::io::Read::read_to_end(&mut brotli::Decompressor::new(&*packed.body, 4096), &mut unpacked)
                    .unwrap()
            }
            "zstd" => {
                std::io::Read::read_to_end(&mut zstd::Decoder::new(&*packed.body).unwrap(), &mut unpacked)
                    .unwrap()
            }
            _ => std::io::Read::read_to_end(&mut flate2::read::GzDecoder::new(&*packed.body), &mut unpacked)
                .unwrap(),
        };
        assert!(packed.body.len() < plain.body.len() / 2, "{coding}");
        assert_eq!(unpacked, plain.body, "{coding}");
    }
    tags.sort();
    tags.dedup();
    assert_eq!(tags.len(), 4);
    for none in ["identity;q=1, gzip;q=0.5", "gzip;Q=0", "br; Q=0, identity"] {
        assert!(!get(none).await.headers.contains_key("content-encoding"), "{none}");
    }
}
