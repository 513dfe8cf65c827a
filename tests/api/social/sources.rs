//! Sources that answer only in part, and the stored part of their posts.

use std::{collections::HashSet, time::Duration};

use diesel::connection::SimpleConnection;
use serde_json::{Value, json};

use crate::support::{
    eventually,
    market::app,
    social::{
        BITCOIN, broken, coin, market, mastodon, minutes_ago, remark, silent, source, status, timeline,
    },
    upstream::{Reply, Upstream},
};

const HYPERLIQUID: &str = "/api/v1/timelines/tag/hyperliquid?";

#[tokio::test]
async fn a_failure_for_one_coin_does_not_affect_the_others() {
    for failure in [
        Reply::Http(404, "", b"{}".to_vec()),
        Reply::Http(410, "", b"{}".to_vec()),
        Reply::Http(503, "", Vec::new()),
        Reply::Http(200, "", b"[{\"id\": ".to_vec()),
        Reply::Raw("content-type: text/html\r\n", b"<html>no such tag</html>".to_vec()),
    ] {
        let (market, instance) = (market().await, silent().await);
        instance.say_at(HYPERLIQUID, failure);
        let app = app(&market, &mastodon(&instance));
        let (user, admin) = (app.user().await, app.admin().await);
        for symbol in ["XLM", "XMR", "LTC", "AVAX", "HBAR", "SHIB"] {
            coin(&user, symbol, Value::is_object).await;
        }
        assert_eq!(coin(&user, "HYPE", |_| true).await, Value::Null);
        let source = source(&admin).await;
        assert_eq!((&source["state"], &source["failures"]), (&"ready".into(), &0.into()), "{source}");
        assert!(source["last_success_at"].is_string());
        assert!(source["last_error"].as_str().unwrap().starts_with("hyperliquid: "), "{source}");
        let requested = instance.count_requests(HYPERLIQUID);
        instance.say_at(HYPERLIQUID, timeline(&[]));
        eventually("another try", async || instance.count_requests(HYPERLIQUID) > requested).await;
        coin(&user, "HYPE", Value::is_object).await;
    }
}

#[tokio::test]
async fn coins_without_an_answer_are_queried_last_next_time() {
    const FAILING: [&str; 4] = ["bitcoin", "ethereum", "tether", "bnb"];
    let (market, instance) = (market().await, silent().await);
    instance.say_at(BITCOIN, Reply::Silence);
    for tag in &FAILING[1..] {
        let path = format!("/api/v1/timelines/tag/{tag}?").leak();
        instance.say_at(path, Reply::Http(500, "", Vec::new()));
    }
    let app = app(&market, &mastodon(&instance));
    let admin = app.admin().await;
    // A timeout ends the first reading, three failures in a row the second.
    for (failures, minutes) in [(1, 1), (2, 2)] {
        let failed = async || source(&admin).await["failures"].as_u64() >= Some(failures);
        eventually("a failure that is written down", failed).await;
        app.clock.advance(Duration::from_mins(minutes));
    }
    // A request that failed may be repeated at once.
    let requested = || {
        let tag = |head: &String| head.split(['/', '?']).nth(5).unwrap().to_owned();
        let mut tags: Vec<_> = instance.requests().iter().map(tag).collect();
        tags.dedup();
        tags
    };
    eventually("a search for each of the 20 coins", async || requested().len() >= 20).await;
    let requested = requested();
    assert_eq!(requested[..4], FAILING);
    let others: HashSet<_> = requested[4..20].iter().collect();
    assert_eq!(others.len(), 16, "{requested:?}");
    assert!(FAILING.iter().all(|tag| !others.contains(&(*tag).to_owned())), "{requested:?}");
}

#[tokio::test]
async fn a_source_that_fails_three_times_in_a_row_is_not_queried_for_a_while() {
    let (market, instance) = (market().await, Upstream::start(vec![Reply::Http(500, "", Vec::new())]).await);
    let app = app(&market, &mastodon(&instance));
    let admin = app.admin().await;
    eventually("a failure that is written down", async || source(&admin).await["failures"] == 1).await;
    assert_eq!(source(&admin).await["state"], "waiting");
    // Each request is repeated a few times.
    let questions: HashSet<_> =
        instance.requests().iter().map(|request| request.split("\r\n").next().unwrap().to_owned()).collect();
    assert_eq!(questions.len(), 3, "{questions:?}");
}

#[tokio::test]
async fn a_slow_source_counts_as_available() {
    let empty = format!("[{}]", " ".repeat(15)).into_bytes();
    let (market, instance) = (market().await, Upstream::start(vec![Reply::Drip(empty)]).await);
    let app = app(&market, &mastodon(&instance));
    let admin = app.admin().await;
    eventually("a success that is written down", async || {
        source(&admin).await["last_success_at"].is_string()
    })
    .await;
    let source = source(&admin).await;
    assert_eq!((&source["failures"], &source["last_error"]), (&0.into(), &Value::Null), "{source}");
    assert!(instance.requests().len() < 20, "there was no time for all coins");
}

#[tokio::test]
async fn one_unreadable_post_does_not_affect_the_others() {
    let (market, instance) = (market().await, silent().await);
    let said =
        [status(3, 1, "bitcoin is XXX"), status(2, 2, "bitcoin is fine"), status(1, 3, "bitcoin is up")];
    instance.say_at(BITCOIN, broken(&timeline(&said)));
    let app = app(&market, &mastodon(&instance));
    coin(&app.user().await, "BTC", |social| social["sample_size"] == 2).await;
}

#[tokio::test]
async fn an_author_counts_once_an_hour_over_all_readings() {
    let (market, instance) = (market().await, silent().await);
    let hour = minutes_ago(60).timestamp() / 3600 * 3600;
    let at = |number: u32, author: u32| {
        let mut status = status(number, 0, &remark(number, "bitcoin is great"));
        let at = chrono::DateTime::from_timestamp(hour + i64::from(number) * 60, 0).unwrap();
        status["created_at"] = at.to_rfc3339().into();
        status["account"]["url"] = format!("https://mastodon.example/@user{author}").into();
        status
    };
    instance.say_at(BITCOIN, timeline(&[at(1, 1)]));
    let app = app(&market, &mastodon(&instance));
    let user = app.user().await;
    coin(&user, "BTC", |social| social["sample_size"] == 1).await;
    instance.say_at(BITCOIN, timeline(&[at(3, 2), at(2, 1)]));
    let bitcoin = coin(&user, "BTC", |social| social["sample_size"].as_u64() > Some(1)).await;
    assert_eq!(bitcoin["sample_size"], 2);
    let mut later = at(4, 1);
    later["created_at"] = minutes_ago(0).to_rfc3339().into();
    instance.say_at(BITCOIN, timeline(&[later]));
    coin(&user, "BTC", |social| social["sample_size"] == 3).await;
}

#[tokio::test]
async fn a_source_that_was_turned_off_is_not_listed() {
    let (market, instance) = (market().await, silent().await);
    instance.say_at(BITCOIN, timeline(&[status(1, 2, "bitcoin is great")]));
    let app = app(&market, &mastodon(&instance));
    let user = app.user().await;
    coin(&user, "BTC", |social| social["sample_size"] == 1).await;
    let read = "INSERT INTO social_cursors (source, coin_id, covered_since, covered_until) \
                SELECT source, id, now() - interval '9 days', now() - ago FROM coins, \
                (VALUES ('x', interval '2 days'), ('bluesky', interval '8 days')) AS off (source, ago)";
    app.sql().batch_execute(read).unwrap();
    instance.say_at(BITCOIN, timeline(&[status(2, 1, "bitcoin is bad")]));
    let bitcoin = coin(&user, "BTC", |social| social["sample_size"] == 2).await;
    assert_eq!(bitcoin["sources"], json!(["mastodon"]));
    let kept =
        |source: &str| app.count(&format!("SELECT count(*) FROM social_cursors WHERE source = '{source}'"));
    assert!(kept("x") > 0);
    assert_eq!(kept("bluesky"), 0);
}
