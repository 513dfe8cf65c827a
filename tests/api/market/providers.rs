//! Market providers: the requests to each, their refusals and the numbers they do not report.

use std::{fs, time::Duration};

use mintage::clock::Clock;
use serde_json::Value;

use crate::support::{
    Client, Database,
    binary::{Server, directory},
    eventually,
    market::{COINS, Market, SYNC, changed, from, provider, until, until_slots},
    upstream::fixture,
};

#[tokio::test]
async fn each_provider_is_requested_as_it_documents() {
    let market = Market::start().await;
    for (settings, header) in [
        (vec![], None),
        (vec![("COINGECKO_API_KEY", "the-key-of-coingecko")], Some("x-cg-demo-api-key")),
        (
            vec![("COINGECKO_API_KEY", "the-key-of-coingecko"), ("COINGECKO_PLAN", "pro")],
            Some("x-cg-pro-api-key"),
        ),
    ] {
        let app = market.app("coingecko", &settings);
        from(&app.user().await, "coingecko").await;
        let request = market.coingecko.requests().pop().unwrap();
        let (line, headers) = request.split_once("\r\n").unwrap();
        assert!(line.starts_with("GET /api/v3/coins/markets?vs_currency=gbp&"), "{line}");
        assert!(line.contains("per_page=20") && line.contains("1h%2C24h%2C7d"), "{line}");
        assert!(!line.contains("the-key"), "the key must not be in the address");
        match header {
            Some(header) => {
                assert!(headers.contains(&format!("{header}: the-key-of-coingecko")), "{headers}");
            }
            None => assert!(!headers.contains("x-cg"), "{headers}"),
        }
    }
    let app = market.app("coinmarketcap-public", &[]);
    from(&app.user().await, "coinmarketcap-public").await;
    let request = market.coinmarketcap.requests().pop().unwrap();
    assert!(request.starts_with("GET /public-api/v3/cryptocurrency/listings/latest?"), "{request}");
    assert!(!request.contains("the-key"), "{request}");
    let app = market.app("coinpaprika", &[("COINS_COUNT", "7")]);
    let body = from(&app.user().await, "coinpaprika").await;
    assert_eq!(body["data"].as_array().unwrap().len(), 7);
    let request = market.coinpaprika.requests().pop().unwrap();
    assert!(request.starts_with("GET /v1/tickers?quotes=GBP "), "{request}");
}

#[tokio::test]
async fn without_a_key_coingecko_is_first_and_missing_numbers_are_null() {
    let market = Market::start().await;
    // An empty value counts as not set.
    let app = market.app("", &[("COINMARKETCAP_API_KEY", "")]);
    let body = from(&app.user().await, "coingecko").await;
    let bitcoin = &body["data"][0];
    assert_eq!(bitcoin["volume_change_24h"], Value::Null);
    assert_eq!(bitcoin["percent_change_7d"], Value::Null, "the fixture has none");
    assert_eq!(bitcoin["percent_change_24h"], -3.875_049_67);
    let status = app.admin().await.get(SYNC).await.assert(200).json();
    let names: Vec<_> = status["providers"].as_array().unwrap().iter().map(|one| &one["name"]).collect();
    assert_eq!(names, ["coingecko", "coinmarketcap-public", "coinpaprika", "simulation"]);
}

#[tokio::test]
async fn each_refusal_means_what_the_provider_documents() {
    let cases = [
        ("coingecko", fixture(401, "coingecko_error_401_10002"), "stopped", "error 10002"),
        ("coingecko", fixture(429, "coingecko_error_429"), "waiting", "error 429"),
        ("coingecko", fixture(400, "coingecko_error_400"), "waiting", "invalid vs_currency"),
        ("coingecko", fixture(404, "coingecko_error_404"), "waiting", "coin not found"),
        ("coinpaprika", fixture(402, "coinpaprika_error_402"), "waiting", "limit of the free plan"),
        ("coinmarketcap-public", fixture(429, "cmc_error_429_ip"), "waiting", "error 1011"),
        ("coinmarketcap", fixture(429, "cmc_error_429_day"), "waiting", "error 1009"),
        ("coinmarketcap", fixture(401, "cmc_error_401_missing_key"), "stopped", "error 1002"),
    ];
    for (name, reply, state, error) in cases {
        let market = Market::start().await;
        for upstream in [&market.coinmarketcap, &market.coingecko, &market.coinpaprika] {
            upstream.say(vec![reply.clone()]);
        }
        let app = market.app(name, &[]);
        let admin = app.admin().await;
        let status = until(&admin, SYNC, |status| provider(status, name)["last_error"].is_string()).await;
        let found = provider(&status, name);
        assert_eq!(found["state"], state, "{found}");
        assert!(found["last_error"].as_str().unwrap().contains(error), "{found}");
        assert!(!status.to_string().contains("the-key"));
        assert_eq!(admin.get(COINS).await.assert(200).json()["source"], "demo");
    }
}

#[tokio::test]
async fn a_daily_budget_is_kept_across_restarts_and_ends_with_the_day() {
    let market = Market::start().await;
    let settings =
        [("COINGECKO_DAILY_CALLS", "2"), ("COINS_SYNC_INTERVAL", "1s"), ("METRICS_BIND", "127.0.0.1:0")];
    let app = market.app("coingecko,coinpaprika", &settings);
    from(&app.user().await, "coinpaprika").await;
    assert_eq!(market.coingecko.requests().len(), 2);
    let replica = app.replica();
    let requested = market.coinpaprika.requests().len();
    eventually("more slots", async || market.coinpaprika.requests().len() > requested + 2).await;
    assert_eq!(market.coingecko.requests().len(), 2);
    let status = app.admin().await.get(SYNC).await.assert(200).json();
    let coingecko = provider(&status, "coingecko");
    assert_eq!((&coingecko["used_today"], &coingecko["daily_budget"]), (&2.into(), &2.into()));
    assert_eq!(coingecko["state"], "waiting", "{coingecko}");
    assert!(coingecko["retry_at"].as_str().unwrap().ends_with("T00:00:00Z"), "{coingecko}");
    let metrics = reqwest::get(app.metrics.as_ref().unwrap()).await.unwrap().text().await.unwrap();
    assert!(metrics.contains("mintage_sync_ready{service=\"coingecko\"} 0"), "{metrics}");
    drop(replica);
    app.clock.advance(Duration::from_hours(24));
    from(&app.user().await, "coingecko").await;
}

#[tokio::test]
async fn the_credits_that_were_charged_count_by_day_and_by_month() {
    let market = Market::start().await;
    let charging = |credits: i64| {
        changed("cmc_v3_listings_latest_gbp", |body| body["status"]["credit_count"] = credits.into())
    };
    market.coinmarketcap.say(vec![charging(3)]);
    let settings = [("COINMARKETCAP_MONTHLY_CREDITS", "7"), ("COINMARKETCAP_DAILY_CREDITS", "100")];
    let app = market.app("coinmarketcap,coinpaprika", &settings);
    let mut admin = app.admin().await;
    from(&admin, "coinmarketcap").await;
    let used = async |admin: &Client| {
        let status = admin.get(SYNC).await.assert(200).json();
        let found = provider(&status, "coinmarketcap");
        (found["used_today"].as_i64().unwrap(), found["used_this_month"].as_i64().unwrap())
    };
    assert_eq!(used(&admin).await, (3, 3));
    let run = async |admin: &mut Client, source: &str| {
        admin.refresh().await.assert(200);
        admin.post_empty(SYNC).await.assert(202);
        until(admin, SYNC, |status| {
            status["slots"][0]["provider"] == source && status["slots"][0]["state"] == "done"
        })
        .await;
    };
    app.clock.advance(Duration::from_secs(1));
    run(&mut admin, "coinmarketcap").await;
    assert_eq!(used(&admin).await, (6, 6));
    // A call that was free gives its reservation back.
    market.coinmarketcap.say(vec![charging(0)]);
    let requested = market.coinmarketcap.requests().len();
    app.clock.advance(Duration::from_secs(1));
    run(&mut admin, "coinmarketcap").await;
    eventually("a free call", async || market.coinmarketcap.requests().len() > requested).await;
    assert_eq!(used(&admin).await, (6, 6));
    market.coinmarketcap.say(vec![charging(1)]);
    app.clock.advance(Duration::from_secs(1));
    run(&mut admin, "coinmarketcap").await;
    app.clock.advance(Duration::from_secs(1));
    run(&mut admin, "coinpaprika").await;
    let status = admin.get(SYNC).await.assert(200).json();
    let found = provider(&status, "coinmarketcap");
    assert_eq!((&found["used_this_month"], &found["monthly_budget"]), (&7.into(), &7.into()), "{found}");
    assert_eq!(found["state"], "waiting");
    let retry_at = found["retry_at"].as_str().unwrap();
    assert!(retry_at.ends_with("-01T00:00:00Z"), "the first of the next month: {retry_at}");
    app.clock.advance(Duration::from_hours(24 * 32));
    let user = app.user().await;
    from(&user, "coinmarketcap").await;
}

#[tokio::test]
async fn a_currency_without_a_rate_is_logged_once() {
    let market = Market::start().await;
    let (database, home) = (Database::create(), directory());
    let url = database.url();
    let log = home.path().join("log");
    let settings = [
        ("DATABASE_URL", url.expose()),
        ("COINS_PROVIDERS", "coingecko"),
        ("COINS_CURRENCIES", "GBP,XTS"),
        ("COINS_SYNC_INTERVAL", "1s"),
        ("COINGECKO_URL", &market.coingecko.url),
    ];
    let mut server = Server::start_logging_to(fs::File::create(&log).unwrap().into(), home.path(), &settings);
    let lines = || {
        let text = fs::read_to_string(&log).unwrap();
        text.lines().filter(|line| line.contains("WARN")).map(str::to_owned).collect::<Vec<_>>()
    };
    eventually("the warning", async || !lines().is_empty()).await;
    let requested = market.coingecko.count_requests("/api/v3/coins/markets");
    eventually("more slots", async || {
        market.coingecko.count_requests("/api/v3/coins/markets") > requested + 2
    })
    .await;
    let lines = lines();
    assert!(lines.len() == 1 && lines[0].contains("XTS"), "{lines:?}");
    server.stop();
}

#[tokio::test]
async fn without_a_network_demo_data_is_served_and_that_is_logged_once() {
    let (database, home) = (Database::create(), directory());
    let url = database.url();
    let closed = "http://127.0.0.1:1";
    let log = home.path().join("log");
    let settings = [
        ("DATABASE_URL", url.expose()),
        ("COINS_PROVIDERS", "coingecko,coinmarketcap-public,coinpaprika,demo"),
        ("COINS_SYNC_INTERVAL", "1s"),
        ("COINMARKETCAP_URL", closed),
        ("COINGECKO_URL", closed),
        ("COINPAPRIKA_URL", closed),
    ];
    let file = fs::File::create(&log).unwrap();
    let mut server = Server::start_logging_to(file.into(), home.path(), &settings);
    let lines = || {
        let text = fs::read_to_string(&log).unwrap();
        let loud = text.lines().filter(|line| line.contains("WARN") || line.contains("ERROR"));
        loud.map(str::to_owned).collect::<Vec<_>>()
    };
    eventually("the warning", async || !lines().is_empty()).await;
    until_slots(&database, Clock::default().now(), 2).await;
    let lines = lines();
    assert_eq!(lines.len(), 1, "{lines:?}");
    for name in ["coingecko: cannot be reached", "coinmarketcap-public:", "coinpaprika:"] {
        assert!(lines[0].contains(name), "{}", lines[0]);
    }
    server.stop();
}

#[tokio::test]
async fn a_volume_change_that_the_provider_lacks_comes_from_our_own_history() {
    let market = Market::start().await;
    let app = market.app("coingecko", &[]);
    from(&app.user().await, "coingecko").await;
    market.coingecko.say(vec![changed("coingecko_markets_gbp", |coins| {
        for coin in coins.as_array_mut().unwrap() {
            coin["total_volume"] = (coin["total_volume"].as_f64().unwrap() * 0.5).into();
        }
    })]);
    app.clock.advance(Duration::from_hours(24));
    let body = until(&app.user().await, COINS, |body| body["data"][0]["volume_change_24h"].is_number()).await;
    for coin in body["data"].as_array().unwrap() {
        let change = coin["volume_change_24h"].as_f64().unwrap();
        assert!((change + 50.0).abs() < 1e-6, "{coin}");
    }
}
