//! A mail for each crossing of a threshold.

use std::time::Duration;

use chrono::TimeDelta;
use diesel::{RunQueryDsl, connection::SimpleConnection, sql_query};
use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::support::{
    App, Client, eventually,
    market::{self, COINS, Market, SYNC, changed, from},
    social::{self, status, timeline},
    upstream::{Reply, Upstream},
};

const PATH: &str = "/api/v1/user/alerts";

fn bitcoin_at(price: f64) -> Reply {
    changed("coingecko_markets_gbp", |coins| coins[0]["current_price"] = price.into())
}

/// Has a sync find this price, and waits until it is served.
async fn sync(market: &Market, admin: &Client, price: f64) {
    market.coingecko.say(vec![bitcoin_at(price)]);
    admin.post_empty(SYNC).await.assert(202);
    eventually("the price", async || {
        admin.get(&format!("{COINS}/btc")).await.json()["data"]["price"].as_f64() == Some(price)
    })
    .await;
}

/// The body of an alert on the price of bitcoin, with these fields added or replaced.
fn above_75_000(more: &Value) -> Value {
    let mut body = json!({"coin": "btc", "metric": "price", "direction": "above", "threshold": 75_000});
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    body
}

async fn alert(client: &Client, more: &Value) -> Value {
    client.post(PATH, &above_75_000(more)).await.assert(201).json()
}

async fn with_market(settings: &[(&str, &str)]) -> (Market, App, Client) {
    let market = Market::start().await;
    let app = market.app("coingecko", settings);
    let admin = app.admin().await;
    from(&admin, "coingecko").await;
    (market, app, admin)
}

#[tokio::test]
async fn each_crossing_sends_one_mail_and_hovering_sends_none() {
    let (market, app, admin) = with_market(&[("APP_URL", "https://app.example.com")]).await;
    let user = app.confirmed_user().await;
    let made = alert(&user, &json!({})).await;
    assert_eq!((&made["hysteresis"], &made["armed"]), (&1500.0.into(), &true.into()));
    let mails = async || {
        let mails = app.mails_to(&user.email).await;
        for mail in &mails {
            assert!(mail.text.contains("To turn it off, delete the alert"), "{}", mail.text);
        }
        mails.len()
    };
    for (price, expected) in [
        (74_999.99, 0),
        (75_000.0, 1),
        (76_000.0, 0),
        (74_000.0, 0),
        (75_100.0, 0),
        (73_500.0, 0),
        (74_999.0, 0),
        (80_000.0, 1),
        (60_000.0, 0),
    ] {
        sync(&market, &admin, price).await;
        assert_eq!(mails().await, expected, "at {price}");
    }
    let now = user.get(PATH).await.assert(200).json()["data"][0].clone();
    assert_eq!((&now["id"], &now["armed"]), (&made["id"], &true.into()));
    assert!(now["crossed_at"].is_string());

    alert(&user, &json!({"direction": "below", "threshold": 50_000, "once": true})).await;
    sync(&market, &admin, 49_000.5).await;
    let mail = app.mail_to(&user.email).await;
    assert_eq!(mail.subject, "Bitcoin: price below £50,000");
    assert!(mail.text.contains("it is £49,000.50, which is below £50,000."), "{}", mail.text);
    assert!(mail.text.contains("It was a one-time alert, so it has been deleted."), "{}", mail.text);
    assert!(!mail.text.contains("To turn it off"), "{}", mail.text);
    assert_eq!(mail.link(), "https://app.example.com");
    let left = user.get(PATH).await.json();
    assert_eq!(left["data"].as_array().unwrap().len(), 1, "once is once");
}

#[tokio::test]
async fn all_alerts_of_a_user_that_one_snapshot_crosses_are_one_mail() {
    let (market, app, admin) = with_market(&[("COINS_CURRENCIES", "GBP,USD")]).await;
    let (user, other) = (app.confirmed_user().await, app.confirmed_user().await);
    alert(&user, &json!({})).await;
    alert(&user, &json!({"threshold": 74_000.5, "once": true})).await;
    alert(&user, &json!({"threshold": 90_000})).await;
    alert(&other, &json!({})).await;
    sync(&market, &admin, 76_000.0).await;
    let mails = app.mails_to(&user.email).await;
    let [mail] = mails.as_slice() else { panic!("{} mails", mails.len()) };
    assert_eq!(mail.subject, "2 alerts reached: Bitcoin");
    for line in [
        "Bitcoin, price: £76,000, above £75,000",
        "Bitcoin, price: £76,000, above £74,000.50 (one-time alert)",
    ] {
        assert!(mail.text.contains(line), "{line} is missing in: {}", mail.text);
    }
    assert!(mail.text.contains("One-time alerts have been deleted."), "{}", mail.text);
    let mails = app.mails_to(&other.email).await;
    assert_eq!(mails.len(), 1);
    assert_eq!(mails[0].subject, "Bitcoin: price above £75,000");
    let left = user.get(PATH).await.json();
    assert_eq!(left["data"].as_array().unwrap().len(), 2, "{left}");
}

#[tokio::test]
async fn a_value_already_beyond_the_threshold_must_return_first() {
    let (market, app, admin) = with_market(&[]).await;
    let user = app.confirmed_user().await;
    sync(&market, &admin, 80_000.0).await;
    assert_eq!(alert(&user, &json!({})).await["armed"], false);
    for (price, expected) in [(81_000.0, 0), (70_000.0, 0), (75_001.0, 1)] {
        sync(&market, &admin, price).await;
        assert_eq!(app.mails_to(&user.email).await.len(), expected, "at {price}");
    }
}

#[tokio::test]
async fn a_snapshot_that_is_not_committed_sends_nothing_and_the_next_one_sends_once() {
    let (market, app, admin) = with_market(&[]).await;
    let user = app.confirmed_user().await;
    let stranger = app.user().await;
    alert(&stranger, &json!({})).await;
    alert(&user, &json!({})).await;
    // Makes the last statement of the publishing transaction fail once: a sequence is not rolled back.
    app.sql()
        .batch_execute(
            "CREATE SEQUENCE refusals; \
             CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS \
                 $$ BEGIN PERFORM nextval('refusals'); RAISE EXCEPTION 'no space'; END $$; \
             CREATE CONSTRAINT TRIGGER refuse AFTER INSERT ON coin_snapshots DEFERRABLE INITIALLY DEFERRED \
                 FOR EACH ROW EXECUTE FUNCTION refuse()",
        )
        .unwrap();
    market.coingecko.say(vec![bitcoin_at(76_000.0)]);
    admin.post_empty(SYNC).await.assert(202);
    let refused = "UPDATE users SET name = name WHERE (SELECT is_called FROM refusals)";
    eventually("a try", async || sql_query(refused).execute(&mut app.sql()).unwrap() > 0).await;
    assert!(app.mails_to(&user.email).await.is_empty());
    assert_eq!(user.get(PATH).await.json()["data"][0]["armed"], true);
    app.sql().batch_execute("DROP TRIGGER refuse ON coin_snapshots").unwrap();
    // That slot can be claimed again when its lease is over.
    app.clock.advance(std::time::Duration::from_mins(2));
    let admin = app.login(&admin.email).await;
    sync(&market, &admin, 76_000.0).await;
    assert_eq!(app.mails_to(&user.email).await.len(), 1);
    sync(&market, &admin, 76_001.0).await;
    assert!(app.mails_to(&user.email).await.is_empty());
    assert!(app.mails_to(&stranger.email).await.is_empty(), "the address may belong to another person");
}

#[tokio::test]
async fn alerts_on_sentiment_are_sent_only_when_it_is_known() {
    let instance = Upstream::start(vec![timeline(&[])]).await;
    let market = social::market().await;
    let settings = [("SOCIAL_PROVIDERS", "mastodon"), ("MASTODON_URLS", instance.url.as_str())];
    let app = market::app(&market, &settings);
    let user = app.confirmed_user().await;
    let body = json!({"coin": "bitcoin", "metric": "sentiment", "direction": "above", "threshold": 0.3});
    let created = user.post(PATH, &body).await.assert(201);
    let made = created.json();
    let location = format!("{PATH}/{}", made["id"].as_str().unwrap());
    assert_eq!(created.header("location"), format!("http://mintage.test{location}"));
    assert_eq!(user.get(&location).await.assert(200).json(), made);
    app.user().await.get(&location).await.assert_problem(404, "not-found");
    assert_eq!((&made["currency"], &made["hysteresis"]), (&Value::Null, &0.05.into()));
    let posts: Vec<Value> =
        (0..5).map(|n| status(n, i64::from(n) + 1, &format!("Bitcoin is great and I love it {n}"))).collect();
    instance.say_at("/api/v1/timelines/tag/bitcoin?", timeline(&posts));
    let mail = app.mail_to(&user.email).await;
    assert_eq!(mail.subject, "Bitcoin: sentiment above 0.3");
}

#[tokio::test]
async fn every_value_of_an_alert_is_checked() {
    let app = App::start();
    let (user, other) = (app.user().await, app.user().await);
    for (more, pointer, code) in [
        (json!({"coin": "nope"}), "/coin", "unknown"),
        (json!({"coin": ""}), "/coin", "length"),
        (json!({"metric": "volume"}), "/metric", "type"),
        (json!({"currency": "XXX"}), "/currency", "currency"),
        (json!({"metric": "sentiment", "currency": "GBP", "threshold": 0.1}), "/currency", "not-applicable"),
        (json!({"metric": "sentiment", "threshold": 1.1}), "/threshold", "range"),
        (json!({"threshold": 0}), "/threshold", "range"),
        (json!({"threshold": -1}), "/threshold", "range"),
        (json!({"threshold": 1e300}), "/threshold", "range"),
        (json!({"threshold": 5e-324}), "/hysteresis", "range"),
        (json!({"hysteresis": 0}), "/hysteresis", "range"),
        (json!({"hysteresis": 1}), "/hysteresis", "range"),
        (json!({"hysteresis": 1e16}), "/hysteresis", "range"),
        (json!({"direction": "sideways"}), "/direction", "type"),
        (json!({"user_id": other.id}), "/user_id", "unknown-field"),
    ] {
        user.post(PATH, &above_75_000(&more)).await.assert_invalid(pointer, code);
    }
    assert_eq!(user.get(PATH).await.assert(200).json()["data"], json!([]));
}

#[tokio::test]
async fn a_user_sees_and_deletes_only_their_own_alerts() {
    let app = App::with(&[("COINS_CURRENCIES", "GBP,USD")]);
    let (user, other) = (app.user().await, app.user().await);
    let dollars = alert(&user, &json!({"currency": "usd"})).await;
    assert_eq!(dollars["currency"], "USD");
    let id = dollars["id"].as_str().unwrap().to_owned();
    assert_eq!(user.get(PATH).await.assert(200).json()["data"], json!([dollars]));
    assert_eq!(other.get(PATH).await.assert(200).json()["data"], json!([]));
    other.delete(&format!("{PATH}/{id}")).await.assert_problem(404, "not-found");
    user.delete(&format!("{PATH}/{id}")).await.assert(204);
    user.delete(&format!("{PATH}/{id}")).await.assert_problem(404, "not-found");
    user.delete(&format!("{PATH}/nonsense")).await.assert_problem(400, "malformed-path");
}

#[tokio::test]
async fn a_user_has_at_most_50_alerts_which_go_with_the_account() {
    let app = App::start();
    let user = app.user().await;
    for _ in 0..48 {
        alert(&user, &json!({})).await;
    }
    let body = above_75_000(&json!({}));
    let answers = join_all((0..5).map(|_| user.post(PATH, &body))).await;
    assert_eq!(answers.iter().filter(|answer| answer.status == 201).count(), 2);
    for refused in answers.into_iter().filter(|answer| answer.status != 201) {
        refused.assert_problem(409, "limit-reached");
    }
    assert_eq!(app.count("SELECT count(*) FROM alerts"), 50);
    sql_query(format!("DELETE FROM users WHERE id = '{}'", user.id)).execute(&mut app.sql()).unwrap();
    assert_eq!(app.count("SELECT count(*) FROM alerts"), 0);
}

#[tokio::test]
async fn a_hysteresis_must_leave_a_value_that_can_be_reached() {
    let app = App::start();
    let user = app.user().await;
    let post = async |metric: &str, direction: &str, threshold: f64, hysteresis: Option<f64>| {
        let body = json!({"coin": "btc", "metric": metric, "direction": direction,
            "threshold": threshold, "hysteresis": hysteresis});
        user.post(PATH, &body).await
    };
    for (metric, direction, threshold, hysteresis) in [
        ("price", "above", 75_000.0, 75_000.0),
        ("price", "above", 75_000.0, 1e15),
        ("popularity", "above", 2.0, 2.1),
        ("sentiment", "above", 0.3, 1.31),
        ("sentiment", "below", 0.3, 0.71),
    ] {
        let answer = post(metric, direction, threshold, Some(hysteresis)).await;
        answer.assert_invalid("/hysteresis", "range");
    }
    for (direction, threshold) in [("above", -1.0), ("below", 1.0)] {
        post("sentiment", direction, threshold, None).await.assert_invalid("/threshold", "range");
    }
    for (metric, direction, threshold, hysteresis) in [
        ("price", "above", 75_000.0, 74_999.0),
        ("price", "below", 75_000.0, 80_000.0),
        ("popularity", "above", 2.0, 2.0),
        ("sentiment", "above", 0.3, 1.3),
        ("sentiment", "below", -0.5, 1.5),
    ] {
        post(metric, direction, threshold, Some(hysteresis)).await.assert(201);
    }
    let made = post("sentiment", "above", -0.975, None).await.assert(201).json();
    assert!(
        (made["hysteresis"].as_f64().unwrap() - 0.025).abs() < 1e-9,
        "the usual one does not fit: {made}"
    );
}

#[tokio::test]
async fn an_alert_is_created_once_for_each_idempotency_key() {
    let (_market, app, _admin) = with_market(&[]).await;
    let user = app.user().await;
    let send = async |client: &Client, key: &str, body: Value| {
        let build = |request: reqwest::RequestBuilder| request.header("idempotency-key", key).json(&body);
        client.send(reqwest::Method::POST, PATH, build).await
    };
    let first = send(&user, "k1", above_75_000(&json!({}))).await.assert(201);
    let second = send(&user, "k1", above_75_000(&json!({}))).await.assert(201);
    assert_eq!((first.json(), second.header("idempotency-replayed")), (second.json(), "true"));
    assert_eq!(user.get(PATH).await.json()["data"].as_array().unwrap().len(), 1);
    let other = above_75_000(&json!({"threshold": 80_000}));
    send(&user, "k1", other.clone()).await.assert_problem(422, "idempotency-key-reused");
    send(&user, "k2", other).await.assert(201);
    let stranger = app.user().await;
    send(&stranger, "k1", above_75_000(&json!({}))).await.assert(201);
    assert_eq!(stranger.get(PATH).await.json()["data"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn a_mail_names_the_time_of_the_data() {
    let (market, app, admin) = with_market(&[]).await;
    let user = app.confirmed_user().await;
    alert(&user, &json!({})).await;
    app.clock.advance(Duration::from_mins(10));
    let time = app.clock.now() - TimeDelta::minutes(4);
    market.coingecko.say(vec![changed("coingecko_markets_gbp", |coins| {
        coins[0]["current_price"] = 76_000.into();
        for coin in coins.as_array_mut().unwrap() {
            coin["last_updated"] = time.to_rfc3339().into();
        }
    })]);
    admin.post_empty(SYNC).await.assert(202);
    let mail = app.mail_to(&user.email).await;
    let expected = time.format("%-d %B %Y, %H:%M UTC").to_string();
    assert!(mail.text.contains(&expected), "{expected}: {}", mail.text);
}
