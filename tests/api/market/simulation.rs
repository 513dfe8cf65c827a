//! The simulated market: what is shown without a network, and that it never meets real data.

use std::time::Duration;

use diesel::connection::SimpleConnection;
use serde_json::{Value, json};

use crate::support::{
    App,
    events::Events,
    eventually,
    market::{COINS, Market, SYNC, fresh, from, until},
    noon,
    points::points,
    upstream::Reply,
};

/// Nothing listens on this port.
const NOWHERE: &str = "http://127.0.0.1:9";
const ALERTS: &str = "/api/v1/user/alerts";
const TRENDING: &str = "/api/v1/coins/trending?limit=250";

/// A server that reaches no provider.
fn offline(settings: &[(&str, &str)]) -> App {
    let mut all = vec![
        ("COINS_PROVIDERS", "coingecko,simulation,demo"),
        ("COINGECKO_URL", NOWHERE),
        ("SOCIAL_PROVIDERS", "mastodon"),
        ("MASTODON_URLS", NOWHERE),
    ];
    all.extend(settings);
    App::at(noon(), &all)
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or_else(|| panic!("{value}"))
}

#[tokio::test]
async fn a_first_start_without_a_network_shows_a_market_with_a_past() {
    let app = offline(&[("COINS_CURRENCIES", "GBP,USD")]);
    let user = app.user().await;
    let body = from(&user, "simulation").await;
    assert_eq!((&body["simulated"], &body["stale"]), (&json!(true), &json!(false)), "{body}");
    assert_eq!(body["data"].as_array().unwrap().len(), 20);
    assert!(
        body["data"][0]["volume_change_24h"].is_number() && body["data"][0]["percent_change_7d"].is_number()
    );
    let dollars = user.get(&format!("{COINS}?currency=USD")).await.assert(200).json();
    assert!(number(&dollars["data"][0]["price"]) > number(&body["data"][0]["price"]));
    assert!(dollars["data"][0]["percent_change_7d"].is_number(), "{dollars}");

    let mut highest = Vec::new();
    for (interval, least) in [("1d", 287), ("1h", 287), ("5m", 280)] {
        let path = format!("{COINS}/btc/history?interval={interval}");
        let history = user.get(&path).await.assert(200).json();
        assert_eq!(history["simulated"], true);
        assert!(points(&history).len() >= least, "{interval}: {}", points(&history).len());
        for point in points(&history) {
            let [open, high, low, close] = ["open", "high", "low", "close"].map(|name| number(&point[name]));
            assert!(low <= open.min(close) && open.max(close) <= high, "{point}");
            assert_eq!(point["sources"], json!(["simulation"]));
        }
        highest.push(points(&history).iter().map(|point| number(&point["high"])).fold(0.0, f64::max));
    }
    let [of_days, of_hours, of_minutes] = highest[..] else { panic!() };
    assert!(of_days >= of_hours && of_hours >= of_minutes, "{highest:?}");
}

#[tokio::test]
async fn simulated_posts_go_through_the_filters_and_become_figures() {
    let app = offline(&[("COINS_SYNC_INTERVAL", "1s")]);
    let user = app.user().await;
    let body =
        until(&user, COINS, |body| body["data"][0]["social"]["sample_size"].as_i64() >= Some(50)).await;
    let social = &body["data"][0]["social"];
    assert_eq!(social["sources"], json!(["simulation"]), "{social}");
    assert!(social["sentiment"].is_number() && social["posts_per_hour"].is_number(), "{social}");
    assert_eq!(social["stale"], false, "{social}");
    let until_first = social["posts_to"].clone();
    let later = until(&user, COINS, |body| {
        let until = &body["data"][0]["social"]["posts_to"];
        *until != until_first && *until != Value::Null
    });
    let rate = later.await["data"][0]["social"]["posts_per_hour"].clone();
    assert!(rate.is_number(), "the readings so far are one window");
    assert!(social["query"].as_array().is_some_and(|terms| terms.contains(&json!("#bitcoin"))), "{social}");
    let sources = body["social_sources"].as_array().unwrap();
    let names: Vec<_> = sources.iter().map(|source| (&source["name"], &source["state"])).collect();
    assert_eq!(names, [(&json!("simulation"), &json!("heard"))], "no real source is read");
    let cursors = "SELECT count(*) FROM social_cursors WHERE source <> 'simulation'";
    assert_eq!(app.count(cursors), 0, "no real source is read");
    assert!(app.count("SELECT count(*) FROM social_posts WHERE thread_hash IS NOT NULL") > 0);
}

/// The trends, once all coins have one.
async fn trends(app: &App) -> Value {
    until(&app.user().await, TRENDING, |body| body["data"].as_array().map(Vec::len) == Some(20)).await
}

#[tokio::test]
async fn a_first_start_without_a_network_shows_trends_that_are_the_same_everywhere() {
    let app = offline(&[]);
    let found = trends(&app).await;
    assert_eq!(found["simulated"], true, "{found}");
    for coin in found["data"].as_array().unwrap() {
        assert_eq!(coin["sources"], json!(["simulation"]), "{coin}");
        for compared in [&coin["posts"], &coin["authors"]] {
            let [low, change, high] =
                [&compared["interval"]["low"], &compared["change"], &compared["interval"]["high"]]
                    .map(number);
            assert!(0.0 < low && low < change && change < high && number(&compared["count"]) > 0.0, "{coin}");
        }
    }
    let lows: Vec<f64> = found["data"]
        .as_array()
        .unwrap()
        .iter()
        .map(|coin| number(&coin["authors"]["interval"]["low"]))
        .collect();
    assert!(lows.is_sorted_by(|one, two| one >= two), "{lows:?}");
    assert_eq!(trends(&app.replica()).await["data"], found["data"], "on another replica");
    assert_eq!(trends(&offline(&[])).await["data"], found["data"], "on another database");
}

#[tokio::test]
async fn trends_go_on_after_a_server_was_off_for_days() {
    const HOURS: &str = "SELECT count(*) FROM social_hours h JOIN coins ON coins.id = coin_id \
        WHERE symbol = 'BTC' AND at < (SELECT began_at FROM simulation) + interval '3 days'";
    let app = offline(&[]);
    trends(&app).await;
    let before = app.count(HOURS);
    assert!(before >= 8 * 24, "{before}");
    app.clock.advance(Duration::from_hours(3 * 24));
    eventually("the hours without a server", async || app.count(HOURS) >= before + 71).await;
    trends(&app).await;
}

#[tokio::test]
async fn an_admin_sees_the_simulation_as_the_only_social_source() {
    let app = offline(&[("METRICS_BIND", "127.0.0.1:0")]);
    let admin = app.admin().await;
    from(&admin, "simulation").await;
    let status = admin.get(SYNC).await.assert(200).json();
    assert_eq!(status["interval_seconds"], 10, "{status}");
    let names: Vec<_> = status["social"].as_array().unwrap().iter().map(|one| &one["name"]).collect();
    assert_eq!(names, ["simulation"], "{status}");
    let metrics = reqwest::get(app.metrics.as_ref().unwrap()).await.unwrap().text().await.unwrap();
    let ready = metrics.lines().filter(|line| line.starts_with("mintage_sync_ready{service=\"simulation\"}"));
    assert_eq!(ready.count(), 1, "a series is listed once");
}

#[tokio::test]
async fn past_hours_keep_one_simulated_snapshot_for_every_five_minutes() {
    const CROWDED: &str = "SELECT count(*) FROM (SELECT FROM coin_snapshots WHERE provider = 'simulation' \
        GROUP BY floor(extract(epoch FROM as_of) / 300) HAVING count(*) > 1) AS crowded";
    let app = offline(&[("COINS_SYNC_INTERVAL", "1s")]);
    let user = app.user().await;
    from(&user, "simulation").await;
    let since_noon = "SELECT count(*) FROM coin_snapshots WHERE as_of >= (SELECT began_at FROM simulation)";
    eventually("several snapshots", async || app.count(since_noon) >= 6).await;
    let before = app.count(since_noon);
    app.clock.advance(Duration::from_hours(2));
    let samples = "SELECT coalesce(max(samples), 0)::bigint AS count FROM coin_history \
        WHERE step_seconds = 3600 AND at = (SELECT date_trunc('hour', began_at) FROM simulation)";
    eventually("a roll-up of all of them", async || app.count(samples) >= before).await;
    // The five minutes of now are kept.
    eventually("one of every five minutes", async || app.count(CROWDED) == 1).await;
    let kept = "SELECT count(*) FROM coin_snapshots \
        WHERE as_of >= (SELECT began_at + interval '1 hour' FROM simulation)";
    eventually("all of this hour", async || app.count(kept) >= 3).await;
}

#[tokio::test]
async fn invented_numbers_are_labelled_wherever_they_are_shown() {
    let app = offline(&[]);
    let user = app.user().await;
    from(&user, "simulation").await;
    for path in ["/btc", "/sparse?fields=price", "/btc/history"] {
        let body = user.get(&format!("{COINS}{path}")).await.assert(200).json();
        assert_eq!(body["simulated"], true, "{path}");
    }
    let mut events = Events::open(&app, &user, "", None).await;
    events.block().await.unwrap();
    assert_eq!(events.event().await.unwrap().1["simulated"], true);
    let table = user.get("/api/v1/coins.csv").await.assert(200).text();
    assert!(table.lines().skip(1).all(|line| line.ends_with(",true")), "{table}");
    let chart = user.get(&format!("{COINS}/btc/chart.svg")).await.assert(200).text();
    assert!(chart.contains(">SIMULATED</text>"), "{chart}");
    let sparkline = user.get(&format!("{COINS}/btc/chart.svg?sparkline=true")).await.assert(200).text();
    assert!(sparkline.contains(">SIMULATED: Bitcoin (BTC)"), "{sparkline}");
    let bought = json!({"coin": "btc", "kind": "buy", "amount": "1", "total": "5", "day": "2020-01-02"});
    user.post("/api/v1/user/portfolio/transactions", &bought).await.assert(201);
    let portfolio = user.get("/api/v1/user/portfolio").await.assert(200).json();
    assert_eq!(portfolio["prices"]["simulated"], true, "{portfolio}");
    let values = user.get("/api/v1/user/portfolio/history").await.assert(200).json();
    assert_eq!(values["simulated"], true, "{values}");
    assert!(values["data"][0]["value"].is_string(), "{values}");
    assert_eq!(app.anyone().get("/").await.json()["data"]["simulated"], true);
}

#[tokio::test]
async fn real_data_replaces_all_simulated_data() {
    let market = Market::start().await;
    market.coingecko.say(vec![Reply::Http(503, "", Vec::new())]);
    let settings =
        [("COINS_SYNC_INTERVAL", "1s"), ("SOCIAL_PROVIDERS", "mastodon"), ("MASTODON_URLS", NOWHERE)];
    let app = market.app("coingecko,simulation,demo", &settings);
    let user = app.confirmed_user().await;
    trends(&app).await;
    let body = from(&user, "simulation").await;
    let simulated = number(&body["data"][0]["price"]);
    let bitcoin = body["data"][0]["id"].clone();
    // Between the simulated price and the real one, which is near 70,000 pounds.
    let direction = if simulated < 70_000.0 { "above" } else { "below" };
    let alert = json!({"coin": "btc", "metric": "price", "direction": direction,
        "threshold": f64::midpoint(simulated, 70_000.0).round()});
    user.post(ALERTS, &alert).await.assert(201);

    market.coingecko.say(vec![fresh("coingecko_markets_gbp")]);
    app.clock.advance(Duration::from_mins(1));
    let body = from(&user, "coingecko").await;
    assert_eq!((&body["simulated"], &body["data"][0]["id"]), (&json!(false), &bitcoin));
    for query in [
        "SELECT count(*) FROM coin_snapshots WHERE provider LIKE 'simulation%'",
        "SELECT count(*) FROM coin_history",
        "SELECT count(*) FROM simulation",
        "SELECT count(*) FROM social_posts",
        "SELECT count(*) FROM social_hours",
        "SELECT count(*) FROM social_cursors",
        "SELECT count(*) FROM social_tries WHERE source LIKE 'simulation%'",
    ] {
        // A reading that was going on may have stored something late.
        eventually(query, async || app.count(query) == 0).await;
    }
    let found = user.get(TRENDING).await.assert(200).json();
    assert_eq!((&found["simulated"], &found["data"]), (&json!(false), &json!([])), "{found}");
    let history = user.get(&format!("{COINS}/btc/history?interval=5m")).await.assert(200).json();
    assert!(points(&history).iter().all(|point| point["sources"] == json!(["coingecko"])), "{history}");
    let alerts = user.get(ALERTS).await.assert(200).json();
    assert_eq!(
        alerts["data"][0]["crossed_at"],
        Value::Null,
        "the step to real prices is no crossing: {alerts}"
    );
}

#[tokio::test]
async fn nothing_is_simulated_once_there_is_real_data() {
    let market = Market::start().await;
    let app = market.app("coingecko,simulation,demo", &[("COINS_SYNC_INTERVAL", "1s")]);
    let user = app.user().await;
    from(&user, "coingecko").await;
    market.coingecko.say(vec![Reply::Http(503, "", Vec::new())]);
    app.clock.advance(Duration::from_mins(5));
    let body = until(&user, COINS, |body| body["stale"] == true).await;
    assert_eq!((&body["source"], &body["simulated"]), (&json!("coingecko"), &json!(false)));
    assert_eq!(app.count("SELECT count(*) FROM simulation"), 0);
}

#[tokio::test]
async fn a_mail_about_a_simulated_price_says_so() {
    let app = offline(&[("SIMULATION_SPEED", "3600"), ("COINS_SYNC_INTERVAL", "1s")]);
    let user = app.confirmed_user().await;
    let price = number(&from(&user, "simulation").await["data"][0]["price"]);
    for (direction, factor) in [("above", 1.001), ("below", 0.999)] {
        let alert =
            json!({"coin": "btc", "metric": "price", "direction": direction, "threshold": price * factor});
        user.post(ALERTS, &alert).await.assert(201);
    }
    let mail = app.mail_to(&user.email).await;
    assert!(mail.subject.starts_with("[simulated] Bitcoin"), "{}", mail.subject);
    assert!(mail.text.contains("The numbers are simulated"), "{}", mail.text);
}

#[tokio::test]
async fn the_data_stops_and_becomes_stale() {
    let app = offline(&[("SIMULATION_SCENARIO", "stale")]);
    let user = app.user().await;
    assert_eq!(from(&user, "simulation").await["stale"], false);
    app.clock.advance(Duration::from_secs(100));
    let body = until(&user, COINS, |body| body["stale"] == true).await;
    assert!(body["age_seconds"].as_i64() >= Some(30), "{body}");
}

#[tokio::test]
async fn a_coin_leaves_the_list_and_comes_back() {
    let app = offline(&[("SIMULATION_SCENARIO", "coin-leaves"), ("COINS_SYNC_INTERVAL", "1s")]);
    let user = app.user().await;
    from(&user, "simulation").await;
    let has = |body: &Value| body["data"].as_array().unwrap().iter().any(|coin| coin["symbol"] == "DOGE");
    for expected in [true, false, true] {
        until(&user, COINS, |body| has(body) == expected).await;
        app.clock.advance(Duration::from_mins(1));
    }
}

#[tokio::test]
async fn two_simulated_sources_take_turns() {
    let app = offline(&[("SIMULATION_SCENARIO", "provider-change"), ("COINS_SYNC_INTERVAL", "1s")]);
    let user = app.user().await;
    from(&user, "simulation").await;
    app.clock.advance(Duration::from_mins(1));
    assert_eq!(from(&user, "simulation-2").await["simulated"], true);
}

#[tokio::test]
async fn two_simulated_coins_have_one_symbol() {
    let app = offline(&[("SIMULATION_SCENARIO", "ambiguous"), ("COINS_COUNT", "21")]);
    let user = app.user().await;
    from(&user, "simulation").await;
    user.get(&format!("{COINS}/btc")).await.assert(300);
}

#[tokio::test]
async fn other_settings_are_another_market_and_leave_nothing_of_the_first() {
    let app = offline(&[]);
    let user = app.user().await;
    let first = from(&user, "simulation").await;
    let days = "SELECT count(*) FROM coin_history WHERE step_seconds = 86400";
    let before = app.count(days);
    // As after a start with another seed.
    app.sql().batch_execute("UPDATE simulation SET seed = 7").unwrap();
    app.clock.advance(Duration::from_secs(20));
    eventually("the market of the settings", async || {
        app.count("SELECT count(*) FROM simulation WHERE seed = 1 AND is_complete") == 1
    })
    .await;
    assert_eq!(app.count(days), before);
    let body = until(&user, COINS, |body| body["as_of"] != first["as_of"]).await;
    assert_eq!(body["source"], "simulation");
}
