//! `GET /coins/global`: figures of the whole market, the mean sentiment, and the fear and greed index.

use std::time::Duration;

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use diesel::connection::SimpleConnection;
use mintage::clock::Clock;
use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{
    App, Client, eventually,
    market::{COINS, Market, SYNC, from, until},
    noon,
    upstream::{Reply, Upstream, fixture},
};

const PATH: &str = "/api/v1/coins/global";
const OF_COINGECKO: &str = "/api/v3/global";
const OF_COINPAPRIKA: &str = "/v1/global";
const OF_COINMARKETCAP: &str = "/v1/global-metrics/quotes/latest";
const INDEX: &str = "/fng/?limit=1&format=json";
const ON: [(&str, &str); 2] = [("COINS_GLOBAL", "on"), ("COINS_SYNC_INTERVAL", "1s")];
const FIGURES: [&str; 5] = ["market_cap", "volume_24h", "market_cap_change_24h", "active_coins", "dominance"];

fn reply(body: &Value) -> Reply {
    Reply::Http(200, "", body.to_string().into_bytes())
}

fn coingecko(cap: f64, at: DateTime<Utc>) -> Reply {
    reply(&json!({"data": {
        "active_cryptocurrencies": 17421,
        "total_market_cap": {"btc": 37_841_233.123, "gbp": cap, "usd": 3_412_345_678_901.25, "jpy": "much"},
        "total_volume": {"btc": 1_234_567.0, "gbp": 98_765_432_109.875, "usd": 129_876_543_210.5},
        "market_cap_percentage": {"btc": 58.123_456_789, "eth": 11.987_654_321},
        "market_cap_change_percentage_24h_usd": -1.234_567_89,
        "updated_at": at.timestamp(),
    }}))
}

fn coinpaprika(at: DateTime<Utc>) -> Reply {
    reply(&json!({
        "market_cap_usd": 3_400_000_000_000_u64, "volume_24h_usd": 125_000_000_000_u64,
        "bitcoin_dominance_percentage": 57.9, "cryptocurrencies_number": 2512,
        "market_cap_change_24h": 0.53, "last_updated": at.timestamp(),
    }))
}

fn index(value: &str, at: DateTime<Utc>) -> Reply {
    reply(&json!({
        "name": "Fear and Greed Index",
        "data": [{
            "value": value, "value_classification": "Fear",
            "timestamp": at.timestamp().to_string(), "time_until_update": "43200",
        }],
        "metadata": {"error": null},
    }))
}

fn with<'a>(settings: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    ON.iter().chain(settings).copied().collect()
}

/// The answer, once its figures come from this provider.
async fn of(client: &Client, source: &str) -> Value {
    until(client, PATH, |body| body["source"] == source).await
}

async fn read(client: &Client, query: &str) -> Value {
    client.get(&format!("{PATH}{query}")).await.assert(200).json()
}

/// Whether all figures of the provider are null for this reason.
fn all_missing(body: &Value, reason: &str) -> bool {
    FIGURES.iter().all(|figure| body[figure].is_null() && body["missing"][figure] == reason)
        && ["as_of", "source", "attribution"].iter().all(|name| body[name].is_null())
}

fn close(value: &Value, wanted: f64) -> bool {
    value.as_f64().is_some_and(|value| (value / wanted - 1.0).abs() < 1e-9)
}

#[tokio::test]
async fn figures_are_those_of_the_provider_digit_for_digit_or_converted_by_the_stored_rates() {
    let (market, clock) = (Market::start().await, noon());
    market.coingecko.say_at(OF_COINGECKO, coingecko(2_512_345_678_901.5, clock.now()));
    let rates = json!({"bitcoin": {"gbp": 70_000.0, "usd": 94_500.0, "eur": 80_500.0}});
    market.coingecko.say_at("/api/v3/simple/price", reply(&rates));
    let app = market.app_at(clock, "coingecko", &with(&[("COINS_CURRENCIES", "GBP,USD,EUR")]));
    let user = app.user().await;
    let pounds = of(&user, "coingecko").await;
    assert_eq!((&pounds["currency"], &pounds["simulated"]), (&json!("GBP"), &json!(false)), "{pounds}");
    assert_eq!(pounds["market_cap"], 2_512_345_678_901.5);
    assert_eq!(pounds["volume_24h"], 98_765_432_109.875);
    assert_eq!(pounds["market_cap_change_24h"], -1.234_567_89);
    assert_eq!(pounds["market_cap_change_currency"], "USD");
    assert_eq!(pounds["active_coins"], 17421);
    assert_eq!(pounds["dominance"], json!({"BTC": 58.123_456_789, "ETH": 11.987_654_321}));
    let at = DateTime::from_timestamp(app.clock.now().timestamp(), 0).unwrap();
    let as_of: DateTime<Utc> = pounds["as_of"].as_str().unwrap().parse().unwrap();
    assert!(as_of <= at && at - as_of < TimeDelta::minutes(5), "{as_of}");
    assert!(pounds["attribution"].as_str().unwrap().contains("CoinGecko"), "{pounds}");
    assert_eq!(pounds["stale"], false);
    assert_eq!(pounds["missing"], json!({"sentiment": "not_heard", "fear_and_greed": "turned_off"}));

    let dollars = read(&user, "?currency=usd").await;
    assert_eq!((&dollars["currency"], &dollars["market_cap"]), (&json!("USD"), &json!(3_412_345_678_901.25)));
    // The provider's answer has no euros.
    let euros = until(&user, &format!("{PATH}?currency=EUR"), |body| body["market_cap"].is_number()).await;
    assert!(close(&euros["market_cap"], 2_512_345_678_901.5 * 80_500.0 / 70_000.0), "{euros}");
    assert!(close(&euros["volume_24h"], 98_765_432_109.875 * 80_500.0 / 70_000.0), "{euros}");

    let response = user.get(PATH).await.assert(200);
    let tag = response.header("etag").to_owned();
    user.send(Method::GET, PATH, |request| request.header("if-none-match", tag)).await.assert(304);
    user.get(&format!("{PATH}?currency=JPY")).await.assert_invalid("/currency", "currency");
    user.get(&format!("{PATH}?sort=x")).await.assert_problem(400, "malformed-query");
}

#[tokio::test]
async fn the_next_provider_is_asked_after_a_failure_and_the_first_again_an_hour_later() {
    let (market, clock) = (Market::start().await, noon());
    market.coingecko.say_at(OF_COINGECKO, fixture(429, "coingecko_error_429"));
    market.coinpaprika.say_at(OF_COINPAPRIKA, coinpaprika(clock.now()));
    let app = market.app_at(clock, "coingecko,coinpaprika", &with(&[]));
    let mut admin = app.admin().await;
    let found = of(&admin, "coinpaprika").await;
    // Its dollars cannot be converted, since there is no other currency than the pound.
    for amount in ["market_cap", "volume_24h"] {
        assert_eq!((&found[amount], &found["missing"][amount]), (&Value::Null, &json!("no_rate")), "{found}");
    }
    assert_eq!(found["dominance"], json!({"BTC": 57.9}));
    assert_eq!((&found["market_cap_change_24h"], &found["active_coins"]), (&json!(0.53), &json!(2512)));
    let status = admin.get(SYNC).await.assert(200).json();
    let service = |name: &str| {
        let services = status["global"].as_array().unwrap().iter();
        services.clone().find(|one| one["name"] == name).unwrap_or_else(|| panic!("{name}: {status}")).clone()
    };
    let first = service("coingecko:global");
    assert_eq!((&first["state"], &first["failures"]), (&json!("waiting"), &json!(1)), "{first}");
    assert!(first["last_error"].as_str().unwrap().contains("429"), "{first}");
    assert_eq!(service("coinpaprika:global")["failures"], 0);
    let list = status["providers"].as_array().unwrap();
    assert_eq!((&list[0]["name"], &list[0]["failures"]), (&json!("coingecko"), &json!(0)), "{status}");

    app.clock.advance(Duration::from_hours(1));
    admin.refresh().await.assert(200);
    market.coingecko.say_at(OF_COINGECKO, coingecko(2e12, app.clock.now()));
    app.clock.advance(Duration::from_mins(1));
    assert_eq!(of(&admin, "coingecko").await["market_cap"], 2e12);
}

#[tokio::test]
async fn coinmarketcap_is_asked_for_one_credit_in_the_first_currency() {
    let (market, clock) = (Market::start().await, noon());
    let updated = clock.now().to_rfc3339_opts(SecondsFormat::Millis, true);
    market.coinmarketcap.say_at(
        OF_COINMARKETCAP,
        reply(&json!({
            "status": {"error_code": 0, "credit_count": 1},
            "data": {
                "active_cryptocurrencies": 9876, "btc_dominance": 58.123_456_78, "eth_dominance": 12.345_678_9,
                "quote": {"GBP": {
                    "total_market_cap": 2_512_345_678_901.123, "total_volume_24h": 98_765_432_109.5,
                    "total_market_cap_yesterday_percentage_change": 0.75, "last_updated": updated,
                }},
            },
        })),
    );
    let app = market.app_at(clock, "coinmarketcap", &with(&[("COINS_SYNC_INTERVAL", "1d")]));
    let admin = app.admin().await;
    let found = of(&admin, "coinmarketcap").await;
    assert_eq!(
        (&found["market_cap"], &found["volume_24h"]),
        (&json!(2_512_345_678_901.123), &json!(98_765_432_109.5))
    );
    assert_eq!(found["dominance"], json!({"BTC": 58.123_456_78, "ETH": 12.345_678_9}));
    assert_eq!((&found["active_coins"], &found["market_cap_change_24h"]), (&json!(9876), &json!(0.75)));
    assert_eq!(found["market_cap_change_currency"], "GBP");
    let requests = market.coinmarketcap.requests();
    let request = requests.iter().find(|one| one.contains(OF_COINMARKETCAP)).unwrap();
    assert!(request.starts_with(&format!("GET {OF_COINMARKETCAP}?convert=GBP ")), "{request}");
    assert!(request.to_lowercase().contains("x-cmc_pro_api_key: the-key-of-coinmarketcap"));
    let status = admin.get(SYNC).await.assert(200).json();
    assert_eq!(status["providers"][0]["used_today"], 2, "the list and the figures: {status}");
}

#[tokio::test]
async fn one_replica_asks_once_an_hour_and_all_show_the_same() {
    let (market, clock) = (Market::start().await, noon());
    market.coingecko.say_at(OF_COINGECKO, coingecko(2e12, clock.now()));
    let app = market.app_at(clock, "coingecko", &with(&[]));
    let replica = app.replica();
    let (user, other) = (app.user().await, replica.user().await);
    let (first, second) = (of(&user, "coingecko").await, of(&other, "coingecko").await);
    assert_eq!(first, second);
    app.clock.advance(Duration::from_mins(58));
    let lists = || market.coingecko.count_requests("/api/v3/coins/markets");
    let before = lists();
    eventually("more slots", async || lists() >= before + 4).await;
    assert_eq!(market.coingecko.count_requests(OF_COINGECKO), 1);
    market.coingecko.say_at(OF_COINGECKO, coingecko(3e12, app.clock.now()));
    app.clock.advance(Duration::from_mins(3));
    let (user, other) = (app.user().await, replica.user().await);
    for client in [&user, &other] {
        until(client, PATH, |body| body["market_cap"] == 3e12).await;
    }
    assert_eq!(market.coingecko.count_requests(OF_COINGECKO), 2);
}

/// A server that asks nobody, for the database.
fn idle(market: &Market, clock: &Clock) -> App {
    market.app_at(clock.clone(), "demo", &[])
}

#[tokio::test]
async fn the_last_figures_survive_a_restart_and_become_stale() {
    let (market, clock) = (Market::start().await, noon());
    market.coingecko.say_at(OF_COINGECKO, coingecko(2e12, clock.now()));
    let app = idle(&market, &clock);
    let settings = with(&[("COINS_PROVIDERS", "coingecko")]);
    let server = app.replica_with(&settings);
    let before = of(&server.user().await, "coingecko").await;
    drop(server);
    market.coingecko.say_at(OF_COINGECKO, Reply::Http(503, "", Vec::new()));
    let server = app.replica_with(&settings);
    let user = server.user().await;
    assert_eq!(read(&user, "").await, before);
    app.clock.advance(Duration::from_hours(3) + Duration::from_mins(5));
    let user = server.user().await;
    let after = read(&user, "").await;
    assert_eq!((&after["stale"], &after["market_cap"]), (&json!(true), &before["market_cap"]), "{after}");
    assert_eq!(after["as_of"], before["as_of"]);
}

#[tokio::test]
async fn impossible_answers_are_ignored_and_the_last_figures_stay() {
    let (market, clock) = (Market::start().await, noon());
    market.coingecko.say_at(OF_COINGECKO, coingecko(2e12, clock.now()));
    let app = market.app_at(clock, "coingecko", &with(&[]));
    let before = of(&app.user().await, "coingecko").await;
    let now = app.clock.now().timestamp();
    let caps =
        |gbp: Value| reply(&json!({"data": {"total_market_cap": {"gbp": gbp}, "updated_at": now + 7200}}));
    for (number, bad) in (1..).zip([
        caps(json!(-2e12)),
        caps(json!("2e12")),
        caps(json!(1e300)),
        caps(json!(null)),
        reply(&json!({"data": []})),
        Reply::Http(200, "", b"<html>".to_vec()),
        Reply::Raw("content-type: text/html\r\n", b"{}".to_vec()),
        Reply::Http(200, "", vec![b' '; 300 * 1024]),
        Reply::Truncated(b"{}".to_vec()),
    ]) {
        market.coingecko.say_at(OF_COINGECKO, bad);
        app.clock.advance(Duration::from_mins(61));
        let failures = format!(
            "SELECT count(*) FROM provider_state WHERE provider = 'coingecko:global' AND failures >= {number}"
        );
        eventually("a failure", async || app.count(&failures) == 1).await;
        let after = read(&app.user().await, "").await;
        assert_eq!(
            (&after["market_cap"], &after["as_of"]),
            (&before["market_cap"], &before["as_of"]),
            "{number}"
        );
    }
    let odd = json!({"data": {
        "total_market_cap": {"gbp": 3e12}, "total_volume": {"gbp": -1},
        "market_cap_percentage": {"btc": 158.1, "eth": -2}, "active_cryptocurrencies": -4,
        "market_cap_change_percentage_24h_usd": -250,
    }});
    market.coingecko.say_at(OF_COINGECKO, reply(&odd));
    app.clock.advance(Duration::from_mins(61));
    let user = app.user().await;
    let found = until(&user, PATH, |body| body["market_cap"] == 3e12).await;
    for figure in &FIGURES[1..] {
        assert_eq!(
            (&found[figure], &found["missing"][figure]),
            (&Value::Null, &json!("not_stated")),
            "{found}"
        );
    }
}

#[tokio::test]
async fn what_is_turned_off_or_only_demonstrated_is_null_with_its_reason() {
    let index = Upstream::start(vec![index("40", noon().now())]).await;
    let settings = [("COINS_GLOBAL", "on"), ("FEAR_AND_GREED_URL", index.url.as_str())];
    let demonstration = App::with(&settings);
    let body = read(&demonstration.user().await, "").await;
    assert!(all_missing(&body, "no_provider"), "the sums of its 20 coins are not the world's: {body}");
    assert_eq!(body["missing"]["fear_and_greed"], "no_provider");
    assert_eq!((&body["sentiment"], &body["simulated"]), (&Value::Null, &json!(true)));
    assert_eq!(index.requests().len(), 0, "the demonstration calls nobody");

    let (market, clock) = (Market::start().await, noon());
    let app = market.app_at(clock.clone(), "coingecko", &[("COINS_SYNC_INTERVAL", "1s")]);
    let admin = app.admin().await;
    from(&admin, "coingecko").await;
    let body = read(&admin, "").await;
    assert!(all_missing(&body, "turned_off"), "{body}");
    assert_eq!(body["missing"]["fear_and_greed"], "turned_off");
    assert_eq!(admin.get(SYNC).await.assert(200).json()["global"], json!([]));
    let lists = || market.coingecko.count_requests("/api/v3/coins/markets");
    let before = lists();
    eventually("more slots", async || lists() >= before + 3).await;
    assert_eq!(market.coingecko.count_requests(OF_COINGECKO), 0);

    market.coingecko.say_at(OF_COINGECKO, Reply::Http(500, "", Vec::new()));
    let waiting = market.app_at(clock, "coingecko", &with(&[]));
    let user = waiting.user().await;
    from(&user, "coingecko").await;
    assert!(all_missing(&read(&user, "").await, "not_read"));
}

#[tokio::test]
async fn the_fear_and_greed_index_is_shown_with_its_attribution_for_two_days() {
    let (market, clock) = (Market::start().await, noon());
    let began = clock.now();
    let service = Upstream::start(vec![index("39", began - TimeDelta::hours(12))]).await;
    let settings = [("FEAR_AND_GREED_URL", service.url.as_str()), ("COINS_SYNC_INTERVAL", "1s")];
    let app = market.app_at(clock, "coingecko", &settings);
    let mut admin = app.admin().await;
    let body = until(&admin, PATH, |body| body["fear_and_greed"].is_object()).await;
    let shown = &body["fear_and_greed"];
    assert_eq!((&shown["value"], &shown["classification"]), (&json!(39), &json!("fear")), "{body}");
    assert_eq!(shown["source"], "alternative.me");
    assert!(shown["attribution"].as_str().unwrap().contains("Alternative.me"), "{shown}");
    let at: DateTime<Utc> = shown["at"].as_str().unwrap().parse().unwrap();
    assert_eq!(at.timestamp(), (began - TimeDelta::hours(12)).timestamp());
    let requests = service.requests();
    assert!(requests[0].starts_with(&format!("GET {INDEX} ")), "{requests:?}");
    assert_eq!(requests.len(), 1, "once an hour");
    let names = |status: &Value| {
        let services = status["global"].as_array().unwrap().iter();
        services.map(|one| one["name"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(names(&admin.get(SYNC).await.assert(200).json()), ["alternative.me"]);

    for bad in [
        index("-1", began),
        index("101", began),
        index("many", began),
        reply(&json!({"data": []})),
        reply(
            &json!({"data": [{"value": "40", "value_classification": "Panic", "timestamp": "1795132800"}]}),
        ),
        Reply::Http(200, "", vec![b' '; 100 * 1024]),
    ] {
        service.say(vec![bad]);
        let before = service.requests().len();
        app.clock.advance(Duration::from_mins(61));
        eventually("another reading", async || service.requests().len() > before).await;
    }
    let errors = "SELECT count(*) FROM provider_state WHERE provider = 'alternative.me' AND failures >= 6";
    eventually("failures", async || app.count(errors) == 1).await;
    admin.refresh().await.assert(200);
    assert_eq!(read(&admin, "").await["fear_and_greed"], *shown, "the last one stays");
    // 48 hours after its time, with six hours gone.
    app.clock.advance(Duration::from_hours(31));
    let user = app.user().await;
    let body = until(&user, PATH, |body| body["fear_and_greed"].is_null()).await;
    assert_eq!(body["missing"]["fear_and_greed"], "too_old");
}

/// Stores figures of a coin: number of posts, mean, mean by the words of crypto markets.
fn store_social(app: &App, symbol: &str, (posts, mean, crypto): (i64, f64, f64)) {
    let now = app.clock.now().to_rfc3339();
    let social = json!({
        "sentiment": mean, "sentiment_basic": 0.0, "sentiment_crypto": crypto, "sentiment_crypto_interval": null,
        "lexicon": "crypto-1", "coverage": {"sentiment": 0.5, "sentiment_crypto": 0.5}, "interval": null,
        "standard_deviation": null, "shares": null, "sample_size": posts, "sample_from": now, "sample_to": now,
        "authors": posts, "dropped": {"language": 0, "duplicate": 0, "author": 0, "tags": 0},
        "effective_sample_size": posts, "confidence": "high", "posts_per_hour": null,
        "posts_per_hour_interval": null, "posts_from": null, "posts_to": null, "popularity": null,
        "popularity_interval": null, "sources": ["mastodon"], "query": ["#a"], "as_of": now, "updated_at": now,
        "stale": false,
    });
    let insert = format!(
        "INSERT INTO coin_social (coin_id, as_of, social) SELECT id, '{now}', '{social}' FROM coins \
         WHERE symbol = '{symbol}' ON CONFLICT (coin_id) DO UPDATE SET social = excluded.social; \
         INSERT INTO social_cursors (source, coin_id, covered_since, covered_until) \
         SELECT 'mastodon:a.example', id, '{now}', '{now}' FROM coins WHERE symbol = '{symbol}' \
         ON CONFLICT DO NOTHING"
    );
    app.sql().batch_execute(&insert).unwrap();
}

fn announce(app: &App) {
    app.sql().batch_execute("NOTIFY mintage_coins").unwrap();
}

/// The expected numbers are computed in Python, from the formula in docs/sentiment.md.
#[tokio::test]
async fn the_mean_sentiment_weighs_coins_by_their_posts_and_takes_each_as_one_cluster() {
    let market = Market::start().await;
    let app = market.app("coingecko", &[]);
    let user = app.user().await;
    from(&user, "coingecko").await;
    assert_eq!(read(&user, "").await["missing"]["sentiment"], "not_heard");
    store_social(&app, "BTC", (9, 0.2, 0.3));
    announce(&app);
    until(&user, PATH, |body| body["missing"]["sentiment"] == "too_few_posts").await;
    store_social(&app, "BTC", (100, 0.2, 0.3));
    announce(&app);
    let body = until(&user, PATH, |body| body["sentiment"].is_object()).await;
    let one = &body["sentiment"];
    assert_eq!((&one["sentiment"], &one["interval"], &one["coins"]), (&json!(0.2), &Value::Null, &json!(1)));
    assert_eq!(one["missing_interval"], "too_few_posts", "{one}");

    let others = [
        ("ETH", 90, 0.1, 0.2),
        ("XRP", 80, -0.1, 0.0),
        ("SOL", 70, 0.3, 0.3),
        ("DOGE", 60, 0.0, 0.1),
        ("ADA", 50, 0.5, 0.4),
    ];
    for (symbol, posts, mean, crypto) in others {
        store_social(&app, symbol, (posts, mean, crypto));
    }
    announce(&app);
    let body = until(&user, PATH, |body| body["sentiment"]["coins"] == 6).await;
    let all = &body["sentiment"];
    assert_eq!((&all["sentiment"], &all["sentiment_crypto"]), (&json!(0.1489), &json!(0.2111)), "{all}");
    assert_eq!(all["interval"], json!({"low": -0.0468, "high": 0.3446}), "{all}");
    assert_eq!(all["sentiment_crypto_interval"], json!({"low": 0.0632, "high": 0.359}), "{all}");
    assert_eq!((&all["posts"], &all["missing_interval"]), (&json!(450), &Value::Null));
    assert_eq!(body["missing"]["sentiment"], Value::Null);

    // Three slots of a day later, no source was read.
    app.clock.advance(Duration::from_hours(73));
    until(&app.user().await, PATH, |body| body["missing"]["sentiment"] == "not_heard").await;
}

#[tokio::test]
async fn a_simulated_market_has_figures_of_its_own_world_until_real_data_comes() {
    let (market, clock) = (Market::start().await, noon());
    market.coingecko.say(vec![Reply::Http(503, "", Vec::new())]);
    market.coingecko.say_at(OF_COINGECKO, coingecko(2e12, clock.now()));
    let service = Upstream::start(vec![index("39", clock.now())]).await;
    let settings = with(&[("FEAR_AND_GREED_URL", service.url.as_str()), ("COINS_CURRENCIES", "GBP,USD")]);
    let app = market.app_at(clock, "coingecko,simulation,demo", &settings);
    let user = app.user().await;
    let found =
        until(&user, PATH, |body| body["source"] == "simulation" && body["fear_and_greed"].is_object()).await;
    assert_eq!(
        (&found["simulated"], &found["attribution"], &found["stale"]),
        (&json!(true), &Value::Null, &json!(false))
    );
    let index = &found["fear_and_greed"];
    assert_eq!((&index["source"], &index["attribution"]), (&json!("simulation"), &Value::Null), "{found}");
    let list = user.get(COINS).await.assert(200).json();
    let caps = list["data"].as_array().unwrap().iter().filter_map(|coin| coin["market_cap"].as_f64());
    let listed: f64 = caps.sum();
    let cap = found["market_cap"].as_f64().unwrap();
    assert!(cap > listed && cap < listed * 1.5, "{cap} {listed}");
    assert!(found["dominance"]["BTC"].as_f64().unwrap() > 30.0, "{found}");
    let dollars = read(&user, "?currency=USD").await;
    assert!(dollars["market_cap"].as_f64().unwrap() > cap, "{dollars}");
    // A minute later they have moved.
    app.clock.advance(Duration::from_mins(2));
    until(&user, PATH, |body| body["market_cap"] != found["market_cap"] && body["source"] == "simulation")
        .await;
    assert_eq!((service.requests().len(), market.coingecko.count_requests(OF_COINGECKO)), (0, 0));

    market.coingecko.say(vec![crate::support::market::fresh("coingecko_markets_gbp")]);
    app.clock.advance(Duration::from_mins(10));
    let user = app.user().await;
    let found = until(&user, PATH, |body| {
        let is_real = body["simulated"] == false;
        // Neither figures nor index of the simulation are shown with real prices.
        assert!(
            !is_real || body["source"] != "simulation" && body["fear_and_greed"]["source"] != "simulation",
            "{body}"
        );
        is_real && body["source"] == "coingecko" && body["fear_and_greed"].is_object()
    })
    .await;
    assert_eq!((&found["market_cap"], &found["fear_and_greed"]["value"]), (&json!(2e12), &json!(39)));
}
