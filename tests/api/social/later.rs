//! Social figures that are read later than the market are added to its snapshot.

use std::sync::Arc;

use diesel::{RunQueryDsl, sql_query};
use serde_json::{Value, json};
use tokio::sync::Semaphore;

use crate::support::{
    App,
    events::Events,
    eventually,
    market::{SYNC, app, from},
    noted::until_succeeded,
    social::{BITCOIN, coin, market, mastodon, name_of, silent, status},
    upstream::{Reply, Upstream},
};

const SNAPSHOTS: &str = "SELECT count(*) FROM coin_snapshots WHERE provider = 'coinmarketcap'";
const SAID: &str = "SELECT count(*) FROM coin_social";
const RUNNING: &str = "SELECT count(*) FROM sync_slots WHERE running";

/// A server that syncs once, and whose source answers about bitcoin only when there is a permit.
async fn waiting_for_bitcoin(market: &Upstream) -> (App, Upstream, Arc<Semaphore>) {
    let (instance, permits) = (silent().await, Arc::new(Semaphore::new(0)));
    let posts = json!([status(1, 5, "I love bitcoin")]).to_string();
    instance.say_at(BITCOIN, Reply::Held(permits.clone(), posts.into_bytes()));
    let settings =
        [mastodon(&instance).as_slice(), &[("COINS_SYNC_INTERVAL", "1d"), ("ALERTS_MIN_POSTS", "1")]]
            .concat();
    let app = app(market, &settings);
    (app, instance, permits)
}

/// The id of the next event, and its social figures of bitcoin.
async fn next(events: &mut Events) -> (String, Value) {
    let (id, body) = events.event().await.unwrap();
    let coins = body["data"].as_array().unwrap();
    (id, coins.iter().find(|coin| coin["symbol"] == "BTC").unwrap()["social"].clone())
}

#[tokio::test]
async fn the_market_does_not_wait_for_a_silent_source_and_the_rest_is_added() {
    let market = market().await;
    let (app, instance, permits) = waiting_for_bitcoin(&market).await;
    let user = app.confirmed_user().await;
    from(&user, "coinmarketcap").await;
    eventually("a reading", async || instance.count_requests(BITCOIN) == 1).await;
    assert_eq!((app.count(SAID), app.count(RUNNING)), (0, 0), "the slot has ended");
    let replica = app.replica();
    let there = user.on(&replica.base);
    assert_eq!(from(&there, "coinmarketcap").await["data"][0]["social"], Value::Null);
    let mut events =
        [Events::open(&app, &user, "", None).await, Events::open(&replica, &there, "", None).await];
    let mut first = String::new();
    for events in &mut events {
        let (id, said) = next(events).await;
        assert_eq!(said, Value::Null);
        first = id;
    }
    let alert = json!({"coin": "bitcoin", "metric": "sentiment", "direction": "above", "threshold": 0.3});
    user.post("/api/v1/user/alerts", &alert).await.assert(201);

    permits.add_permits(1);
    for user in [&user, &there] {
        coin(user, "BTC", |social| social["sample_size"] == 1).await;
    }
    let mut second = Vec::new();
    for events in &mut events {
        let (id, said) = next(events).await;
        assert_eq!(said["sample_size"], 1, "{said}");
        second.push(id);
    }
    assert!(second[0] == second[1] && second[0] != first, "{first} {second:?}");
    let mut resumed = Events::open(&replica, &there, "", Some(&first)).await;
    assert_eq!(next(&mut resumed).await.0, second[0]);
    assert_eq!(app.mail_to(&user.email).await.subject, "Bitcoin: sentiment above 0.3");
    let history = "SELECT count(*) FROM coin_quotes WHERE sentiment > 0.3";
    assert_eq!((app.count(SNAPSHOTS), app.count(history), app.count(RUNNING)), (1, 1, 0));
    assert_eq!(market.requests().len(), 1, "one question a slot");
}

#[tokio::test]
async fn a_server_that_lost_the_lease_of_reading_adds_nothing() {
    let market = market().await;
    let (app, instance, permits) = waiting_for_bitcoin(&market).await;
    let admin = app.admin().await;
    from(&admin, "coinmarketcap").await;
    // As another replica does it when the lease is over.
    let lost = "UPDATE social_streams SET holder = gen_random_uuid(), lease_until = lease_until + interval '30 minutes'";
    eventually("a reading", async || instance.count_requests(BITCOIN) == 1).await;
    assert_eq!(sql_query(lost).execute(&mut app.sql()).unwrap(), 1);
    permits.add_permits(1);
    until_succeeded(&app, &name_of(&instance)).await;
    // The next slot finds that the other replica reads.
    admin.post_empty(SYNC).await.assert(202);
    eventually("the next slot", async || app.count(SNAPSHOTS) == 2).await;
    assert_eq!((app.count(SAID), instance.count_requests(BITCOIN)), (0, 1));
}

#[tokio::test]
async fn slots_go_on_while_a_source_is_silent_and_no_two_servers_read_it() {
    let market = market().await;
    let (app, instance, permits) = waiting_for_bitcoin(&market).await;
    let admin = app.admin().await;
    from(&admin, "coinmarketcap").await;
    eventually("a reading", async || instance.count_requests(BITCOIN) == 1).await;
    let replica = app.replica();
    for (slots, server) in [(2, &app), (3, &replica)] {
        admin.on(&server.base).post_empty(SYNC).await.assert(202);
        eventually("the next slot", async || app.count(SNAPSHOTS) == slots).await;
    }
    assert_eq!((instance.count_requests(BITCOIN), app.count(SAID)), (1, 0));
    permits.add_permits(10);
    let bitcoin = coin(&admin, "BTC", |social| social["sample_size"] == 1).await;
    assert_eq!(bitcoin["sources"], json!(["mastodon"]));
}

#[tokio::test]
async fn a_slot_without_a_market_ends_while_a_source_is_silent() {
    let market = market().await;
    let (app, instance, permits) = waiting_for_bitcoin(&market).await;
    let admin = app.admin().await;
    from(&admin, "coinmarketcap").await;
    permits.add_permits(1);
    coin(&admin, "BTC", |social| social["sample_size"] == 1).await;
    market.say(vec![Reply::Http(503, "", Vec::new())]);
    let failures = app.count("SELECT sum(failures)::bigint AS count FROM provider_state");
    assert_eq!(failures, 0);
    admin.post_empty(SYNC).await.assert(202);
    let waiting = "SELECT count(*) FROM sync_slots WHERE finished_at IS NULL AND NOT running AND attempt > 0";
    eventually("a slot that will be retried", async || app.count(waiting) == 1).await;
    let source = format!(
        "SELECT count(*) FROM provider_state WHERE provider = '{}' AND failures > 0",
        name_of(&instance)
    );
    assert_eq!(app.count(&source), 0, "the source is still being read");
    permits.add_permits(10);
}
