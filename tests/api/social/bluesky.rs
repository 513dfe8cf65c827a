//! Bluesky as a source: a stream that one replica follows.

use serde_json::{Value, json};

use crate::support::{
    eventually,
    market::app,
    social::{Jetstream, coin, market},
    upstream::{Reply, Upstream},
};

#[tokio::test]
async fn bluesky_is_followed_by_one_replica_and_goes_on_after_a_break() {
    let (market, stream) = (market().await, Jetstream::start().await);
    let settings = [("SOCIAL_PROVIDERS", "bluesky"), ("BLUESKY_URL", stream.url.as_str())];
    let app = app(&market, &settings);
    eventually("a listener", async || stream.listeners() == 1).await;
    let replica = app.replica();
    assert!(
        stream.addresses()[0].starts_with("/subscribe?wantedCollections=app.bsky.feed.post"),
        "{:?}",
        stream.addresses()
    );
    assert!(!stream.addresses()[0].contains("cursor"));
    for nonsense in ["", "{", "[]", "null", r#"{"did":1}"#, &"x".repeat(100_000)] {
        stream.say_raw(nonsense);
    }
    stream.say(1, "buying the dip #Bitcoin");
    stream.say(2, "Bitcoin is great");
    stream.say(3, "a shop near the station");
    stream.say(4, "bitcoin  IS great");
    let user = app.user().await;
    let bitcoin = coin(&user, "BTC", |social| social["sample_size"] == 2).await;
    assert_eq!(bitcoin["sources"], json!(["bluesky"]));
    assert_eq!(stream.listeners(), 1, "the replica waits");

    let requested = stream.addresses().len();
    stream.hang_up();
    eventually("another connection", async || {
        stream.listeners() == 1 && stream.addresses().len() > requested
    })
    .await;
    assert!(stream.addresses()[requested].contains("&cursor="), "{:?}", stream.addresses());
    stream.say(5, "bitcoin is terrible");
    coin(&user, "BTC", |social| social["sample_size"] == 3).await;

    let requested = stream.addresses().len();
    drop(app);
    eventually("the replica follows", async || {
        stream.listeners() == 1 && stream.addresses().len() > requested
    })
    .await;
    stream.say(6, "bitcoin is back");
    let user = replica.user().await;
    coin(&user, "BTC", |social| social["sample_size"] == 4).await;
}

#[tokio::test]
async fn a_failed_websocket_upgrade_is_retried_and_delays_no_sync() {
    let (market, server) = (market().await, Upstream::start(vec![Reply::Http(400, "", Vec::new())]).await);
    let url = server.url.replacen("http", "ws", 1);
    let app = app(&market, &[("SOCIAL_PROVIDERS", "bluesky"), ("BLUESKY_URL", &url)]);
    eventually("two tries", async || server.requests().len() >= 2).await;
    let synced = market.requests().len();
    eventually("syncs", async || market.requests().len() > synced + 1).await;
    assert_eq!(coin(&app.user().await, "BTC", |_| true).await, Value::Null);
}
