//! `GET /coins/stream`: Server-Sent Events.

use std::time::Duration;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::net::TcpStream;

use crate::support::{
    App,
    events::{Events, open},
    eventually,
    market::{COINS, Market, SYNC, changed, from, provider, until},
    upstream::Reply,
};

const STREAM: &str = "/api/v1/coins/stream";

#[tokio::test]
async fn each_sync_is_an_event_and_a_client_resumes_after_its_last_one() {
    let market = Market::start().await;
    let app = market.app("coingecko", &[]);
    let admin = app.admin().await;
    from(&admin, "coingecko").await;
    let mut events = Events::open(&app, &admin, "", None).await;
    assert_eq!(events.block().await.unwrap(), "retry: 5000");
    let (first, body) = events.event().await.unwrap();
    assert_eq!(body, admin.get(COINS).await.json());

    let mut resumed = Events::open(&app, &admin, "", Some(&first)).await;
    assert_eq!(resumed.block().await.unwrap(), "retry: 5000");
    market
        .coingecko
        .say(vec![changed("coingecko_markets_gbp", |coins| coins[0]["current_price"] = 70_300.into())]);
    admin.post_empty(SYNC).await.assert(202);
    for stream in [&mut events, &mut resumed] {
        let (id, body) = stream.event().await.unwrap();
        assert!(id.parse::<i64>().unwrap() > first.parse().unwrap());
        assert_eq!(body["data"][0]["price"], 70_300.0);
    }
    // An older id, or one of another server, gets the newest snapshot at once.
    for last in [first.as_str(), "999999", "nonsense"] {
        let (_, body) = Events::open(&app, &admin, "", Some(last)).await.event().await.unwrap();
        assert_eq!(body["data"][0]["price"], 70_300.0);
    }
}

/// Applies the changes of an event to a list of coins, as a client does.
fn apply(list: &mut Value, delta: &Value) {
    let removed = delta["removed"].as_array().unwrap();
    let coins = list["data"].as_array_mut().unwrap();
    coins.retain(|coin| !removed.contains(&coin["id"]));
    for change in delta["data"].as_array().unwrap() {
        match coins.iter_mut().find(|coin| coin["id"] == change["id"]) {
            Some(coin) => coin.as_object_mut().unwrap().extend(change.as_object().unwrap().clone()),
            None => coins.push(change.clone()),
        }
    }
    coins.sort_by_key(|coin| coin["rank"].as_i64());
    for (name, value) in delta.as_object().unwrap() {
        if !["data", "removed", "base"].contains(&name.as_str()) {
            list[name] = value.clone();
        }
    }
}

#[tokio::test]
async fn a_stream_of_changes_leads_to_the_same_list() {
    let market = Market::start().await;
    let app = market.app("coingecko", &[]);
    let admin = app.admin().await;
    from(&admin, "coingecko").await;
    let mut events = Events::open(&app, &admin, "?delta=true", None).await;
    let (name, mut base, mut list) = events.named_event().await.unwrap();
    assert_eq!((name.as_str(), &list), ("snapshot", &admin.get(COINS).await.json()));
    let changes: [fn(&mut Value); 3] = [
        |coins| coins[0]["current_price"] = 70_300.into(),
        |coins| {
            coins[0]["current_price"] = 70_300.into();
            coins.as_array_mut().unwrap().remove(3);
        },
        |coins| coins[0]["current_price"] = 70_400.into(),
    ];
    for (step, change) in changes.into_iter().enumerate() {
        market.coingecko.say(vec![changed("coingecko_markets_gbp", change)]);
        admin.post_empty(SYNC).await.assert(202);
        let (name, id, delta) = events.named_event().await.unwrap();
        assert_eq!((name.as_str(), delta["base"].as_str()), ("delta", Some(base.as_str())));
        let sent = delta["data"].as_array().unwrap();
        if step == 0 {
            assert_eq!((&sent[0]["price"], sent[0].get("name")), (&json!(70_300.0), None));
            let members: Vec<_> = sent[1].as_object().unwrap().keys().collect();
            assert_eq!(members, ["id", "updated_at"], "its price is the same");
        }
        assert_eq!(delta["removed"].as_array().unwrap().len(), usize::from(step == 1), "{delta}");
        apply(&mut list, &delta);
        assert_eq!(list, admin.get(COINS).await.json());
        base = id;
    }
    // Whoever comes back after a gap gets everything.
    let (name, ..) = Events::open(&app, &admin, "?delta=true", Some("1")).await.named_event().await.unwrap();
    assert_eq!(name, "snapshot");
    admin.get(&format!("{STREAM}?delta=1")).await.assert_problem(400, "malformed-query");
}

#[tokio::test]
async fn a_stream_opened_during_an_outage_shows_the_age_of_the_data() {
    let market = Market::start().await;
    let app = market.app("coingecko", &[("COINS_SYNC_INTERVAL", "1s")]);
    let admin = app.admin().await;
    from(&admin, "coingecko").await;
    market.coingecko.say(vec![Reply::Http(503, "", Vec::new())]);
    let failed = |status: &Value| provider(status, "coingecko")["last_error"].is_string();
    until(&admin, SYNC, failed).await;
    app.clock.advance(Duration::from_mins(5));
    let (_, body) = Events::open(&app, &admin, "", None).await.event().await.unwrap();
    assert_eq!(body["stale"], true, "{body}");
    assert!(body["age_seconds"].as_i64().unwrap() >= 300);
}

#[tokio::test]
async fn a_stream_is_in_the_wanted_currency_and_the_rest_is_refused() {
    let app = App::with(&[("COINS_CURRENCIES", "GBP,USD")]);
    let user = app.user().await;
    let (_, body) = Events::open(&app, &user, "?currency=usd", None).await.event().await.unwrap();
    assert_eq!(body["currency"], "USD");
    user.get(&format!("{STREAM}?currency=XXX")).await.assert_invalid("/currency", "currency");
    user.get(&format!("{STREAM}?limit=1")).await.assert_problem(400, "malformed-query");
    app.anyone().get(STREAM).await.assert_problem(401, "missing-token");
}

#[tokio::test]
async fn a_head_request_opens_no_stream() {
    let app = App::start();
    let user = app.user().await;
    // More than an account may have open.
    for _ in 0..25 {
        let head = user.send(Method::HEAD, STREAM, |request| request).await.assert(200);
        assert_eq!(head.header("content-type"), "text/event-stream");
    }
}

#[tokio::test]
async fn a_quiet_stream_has_a_heartbeat() {
    let app = App::start();
    let mut events = Events::open(&app, &app.user().await, "", None).await;
    events.event().await.unwrap();
    assert_eq!(events.block().await.unwrap(), ":");
}

#[tokio::test]
async fn a_stream_ends_with_its_session_its_token_and_its_server() {
    let app = App::start();
    let user = app.user().await;
    let mut events = Events::open(&app, &user, "", None).await;
    events.event().await.unwrap();
    user.post("/api/v1/auth/logout", &json!({})).await.assert(204);
    assert_eq!(events.event().await, None, "logged out");

    let user = app.user().await;
    let mut events = Events::open(&app, &user, "", None).await;
    events.event().await.unwrap();
    app.clock.advance(Duration::from_mins(11));
    assert_eq!(events.event().await, None, "the token has expired");

    let mut events = Events::open(&app, &app.user().await, "", None).await;
    events.event().await.unwrap();
    let stopping = tokio::task::spawn_blocking(move || drop(app));
    assert_eq!(events.event().await, None, "the server stops");
    stopping.await.unwrap();
}

#[tokio::test]
async fn a_stream_goes_on_while_the_server_drains_so_that_its_client_does_not_come_back() {
    let app = App::with(&[("DRAIN_DELAY", "5s")]);
    let address = app.base.strip_prefix("http://").unwrap().to_owned();
    let mut events = Events::open(&app, &app.user().await, "", None).await;
    events.event().await.unwrap();
    let stopping = tokio::task::spawn_blocking(move || drop(app));
    assert_eq!(events.event().await, None, "the server stops");
    assert!(TcpStream::connect(&address).await.is_err(), "the listener was closed before the stream");
    stopping.await.unwrap();
}

#[tokio::test]
async fn an_account_has_a_bounded_number_of_streams() {
    let app = App::start();
    let (user, other) = (app.user().await, app.user().await);
    let mut open_ones = Vec::new();
    for _ in 0..20 {
        open_ones.push(Events::open(&app, &user, "", None).await);
    }
    let refused = user.get(STREAM).await.assert_problem(429, "too-many-requests");
    assert_eq!(refused.header("retry-after"), "5");
    Events::open(&app, &other, "", None).await.event().await.unwrap();
    drop(open_ones);
    eventually("room again", async || open(&app, &user, "", None).await.status() == StatusCode::OK).await;
}
