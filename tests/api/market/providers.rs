//! Market providers: what each sends, what they may do wrong, and who takes over.

use std::{collections::HashMap, fs, io::Write, time::Duration};

use serde_json::Value;
use tokio::time;

use crate::{
    cli::command_line::{Server, directory},
    support::{
        Database, eventually,
        market::{COINS, Market, SYNC, changed, fresh, from, provider, until},
        upstream::{Reply, Upstream, fixture},
    },
};

fn by_symbol(body: &Value) -> HashMap<String, Value> {
    let coins = body["data"].as_array().unwrap().iter();
    coins.map(|coin| (coin["symbol"].as_str().unwrap().to_uppercase(), coin.clone())).collect()
}

fn ids(body: &Value) -> HashMap<String, i64> {
    by_symbol(body).into_iter().map(|(symbol, coin)| (symbol, coin["id"].as_i64().unwrap())).collect()
}

#[tokio::test]
async fn every_provider_reports_the_same_coins_under_the_same_ids() {
    let market = Market::start().await;
    let demo = market.app("demo", &[]);
    let expected = ids(&demo.user().await.get(COINS).await.assert(200).json());
    assert_eq!(expected.len(), 20);
    for name in ["coinmarketcap", "coinmarketcap-public", "coingecko", "coinpaprika"] {
        let app = demo.replica_with(&[("COINS_PROVIDERS", name), ("COINS_SYNC_INTERVAL", "1s")]);
        let body = from(&app.user().await, name).await;
        assert_eq!(ids(&body), expected, "{name}");
        let bitcoin = &body["data"][0];
        assert_eq!((&bitcoin["slug"], &bitcoin["rank"]), (&"bitcoin".into(), &1.into()), "{name}");
        assert_eq!(bitcoin["price"], 70211.4421, "{name}");
        assert_eq!(by_symbol(&body)["USDT"]["name"], "Tether USDt", "{name} does not rename a coin");
        let needs_attribution = body["attribution"].as_str().unwrap();
        assert!(needs_attribution.contains("https://"), "{needs_attribution}");
    }
    let coins =
        diesel::RunQueryDsl::execute(diesel::sql_query("UPDATE coins SET name = name"), &mut demo.sql());
    assert_eq!(coins.unwrap(), 20);
}

#[tokio::test]
async fn each_is_asked_as_it_documents() {
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
async fn without_a_key_coingecko_is_first_and_what_it_lacks_is_null() {
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
    assert_eq!(names, ["coingecko", "coinmarketcap-public", "coinpaprika"]);
}

#[tokio::test]
async fn the_next_provider_takes_over_and_the_first_comes_back() {
    let market = Market::start().await;
    market.coinmarketcap.say(vec![fixture(500, "cmc_error_500")]);
    market.coingecko.say(vec![fixture(429, "coingecko_error_429")]);
    let app = market.app("coinmarketcap,coingecko,coinpaprika,demo", &[("COINS_SYNC_INTERVAL", "1s")]);
    let mut user = app.user().await;
    let before = from(&user, "coinpaprika").await;
    assert!(market.coingecko.requests().len() == 1, "429 is not tried again at once");
    let mut admin = app.admin().await;
    let status = admin.get(SYNC).await.assert(200).json();
    let (first, second) = (provider(&status, "coinmarketcap"), provider(&status, "coingecko"));
    assert_eq!((&first["state"], &second["state"]), (&"waiting".into(), &"waiting".into()));
    assert!(first["last_error"].as_str().unwrap().starts_with("error 500"), "{first}");
    assert_eq!(provider(&status, "coinpaprika")["state"], "ready");
    assert!(provider(&status, "coinpaprika")["last_success_at"].is_string());

    market.coinmarketcap.say(vec![fresh("cmc_v3_listings_latest_gbp")]);
    app.clock.advance(Duration::from_mins(31));
    user.refresh().await.assert(200);
    admin.refresh().await.assert(200);
    let after = from(&user, "coinmarketcap").await;
    assert_eq!(ids(&before), ids(&after));
    let status = admin.get(SYNC).await.assert(200).json();
    assert_eq!(provider(&status, "coinmarketcap")["failures"], 0);
    assert_eq!(provider(&status, "coinmarketcap")["state"], "ready");
}

#[tokio::test]
async fn a_provider_whose_data_stands_still_gives_way_to_a_newer_one() {
    let market = Market::start().await;
    // Recorded long ago, and answered as if it were news.
    market.coinmarketcap.say(vec![fixture(200, "cmc_v3_listings_latest_gbp")]);
    let app = market.app("coinmarketcap,coingecko", &[("COINS_SYNC_INTERVAL", "1s")]);
    let user = app.user().await;
    until(&user, COINS, |body| body["source"] == "coingecko" && body["stale"] == false).await;
    // What is old is better than nothing, but not than what is there.
    market.coingecko.say(vec![Reply::Http(503, "", Vec::new())]);
    let refused = |status: &Value| {
        let error = provider(status, "coinmarketcap")["last_error"].as_str();
        error.is_some_and(|error| error.contains("older"))
    };
    until(&app.admin().await, SYNC, refused).await;
    assert_eq!(user.get(COINS).await.assert(200).json()["source"], "coingecko");
    let alone = market.app("coinmarketcap", &[]);
    assert_eq!(from(&alone.user().await, "coinmarketcap").await["as_of"], "2026-11-20T10:00:00Z");
}

/// Whatever one provider answers, the next one's data is served soon after.
async fn assert_the_next_is_served(timeout: &str, cases: &[(&str, Reply, &str)]) {
    for (case, reply, error) in cases {
        let market = Market::start().await;
        market.coingecko.say(vec![reply.clone()]);
        let app = market.app("coingecko,coinpaprika", &[("UPSTREAM_TIMEOUT", timeout)]);
        let body = from(&app.user().await, "coinpaprika").await;
        assert_eq!(body["data"].as_array().unwrap().len(), 20, "{case}");
        let status = app.admin().await.get(SYNC).await.assert(200).json();
        let found = provider(&status, "coingecko")["last_error"].as_str().unwrap();
        assert!(found.contains(error), "{case}: {found}");
    }
}

fn good() -> String {
    let good = fs::read_to_string("tests/fixtures/coingecko_markets_gbp.json").unwrap();
    good.replace("2026-11-20T", "2999-11-20T")
}

fn of(body: &str) -> Reply {
    Reply::Http(200, "", body.as_bytes().to_vec())
}

#[tokio::test]
async fn a_silent_provider_does_not_keep_the_next_from_being_served() {
    let cases = [
        ("silence", Reply::Silence, "no answer in time"),
        ("drip", Reply::Drip(vec![b' '; 500]), "no answer in time"),
    ];
    assert_the_next_is_served("5s", &cases).await;
}

#[tokio::test]
async fn nor_does_one_whose_answer_is_too_large_or_broken() {
    let json = "content-type: application/json\r\n";
    let packed = |bytes: usize| {
        let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        packer.write_all(&vec![b' '; bytes]).unwrap();
        packer.finish().unwrap()
    };
    let gzip = "content-type: application/json\r\ncontent-encoding: gzip\r\n";
    let cases = [
        ("50 MB", Reply::Raw(json, vec![b' '; 50_000_000]), "the body is too large"),
        ("gzip bomb", Reply::Raw(gzip, packed(50_000_000)), "the body is too large"),
        ("not gzip", Reply::Raw(gzip, good().into_bytes()), "the body cannot be read"),
        ("cut JSON", of(&good()[..good().len() / 2]), "makes no sense"),
        ("cut body", Reply::Truncated(good().into_bytes()), "the body cannot be read"),
    ];
    assert_the_next_is_served("10s", &cases).await;
}

#[tokio::test]
async fn nor_does_one_that_answers_something_else() {
    let elsewhere = Upstream::start(vec![of(&good())]).await;
    let redirect: &'static str = format!("location: {}/\r\n", elsewhere.url).leak();
    let cases = [
        ("other type", Reply::Raw("content-type: text/html\r\n", good().into_bytes()), "not JSON"),
        ("no type", Reply::Raw("", good().into_bytes()), "not JSON"),
        ("HTML", of("<!doctype html><title>Just a moment</title>"), "makes no sense"),
        ("redirect", Reply::Http(302, redirect, Vec::new()), "HTTP 302"),
        ("object", of("{}"), "makes no sense"),
        ("deep", of(&"[".repeat(100_000)), "makes no sense"),
        (
            "error in a 200",
            Reply::Http(200, "", b"{\"error\":\"coin not found\"}".to_vec()),
            "coin not found",
        ),
    ];
    assert_the_next_is_served("10s", &cases).await;
    assert!(elsewhere.requests().is_empty(), "no redirect is followed");
}

#[tokio::test]
async fn nor_does_one_whose_coins_cannot_be() {
    let priced = |price: &str| {
        of(&good().replace("\"current_price\": ", &format!("\"current_price\": {price},\"x\":")))
    };
    let cases = [
        ("empty list", of("[]"), "only 0 of 20"),
        ("NaN", priced("NaN"), "makes no sense"),
        ("infinite", priced("1e999"), "makes no sense"),
        ("huge", priced("1e300"), "only 0 of 20"),
        ("negative", priced("-1"), "only 0 of 20"),
        (
            "one coin 20 times",
            of(&good().replace("\"id\": \"", "\"id\": \"bitcoin\",\"x\":\"")),
            "only 1 of 20",
        ),
    ];
    assert_the_next_is_served("10s", &cases).await;
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
async fn a_coin_that_leaves_the_list_and_returns_keeps_its_id() {
    let market = Market::start().await;
    let app = market.app("coingecko", &[("COINS_SYNC_INTERVAL", "1s")]);
    let user = app.user().await;
    let before = ids(&from(&user, "coingecko").await);
    market.coingecko.say(vec![changed("coingecko_markets_gbp", |coins| {
        coins[19]["id"] = "another-coin".into();
        coins[19]["name"] = "Another Coin".into();
        coins[19]["symbol"] = "ano".into();
    })]);
    let without = until(&user, COINS, |body| body["data"][19]["symbol"] == "ANO").await;
    assert!(!ids(&without).contains_key("SHIB"));
    user.get(&format!("{COINS}/SHIB")).await.assert_problem(404, "not-found");
    market.coingecko.say(vec![fresh("coingecko_markets_gbp")]);
    let after = until(&user, COINS, |body| body["data"][19]["symbol"] == "SHIB").await;
    assert_eq!(ids(&after), before);
}

/// CoinMarketCap lists "Foo Coin", then CoinGecko lists something: is it the same coin?
#[tokio::test]
async fn a_coin_that_is_in_no_table_is_matched_by_symbol_name_and_price_and_never_by_symbol_alone() {
    let foo = |coin: &mut Value, name: &str| {
        coin["name"] = name.into();
        coin["symbol"] = "FOO".into();
    };
    for (case, name, price, twice, same) in [
        ("the same", "Foo Coin", 1.0, false, true),
        ("spelled otherwise, a bit dearer", "foo-coin", 1.04, false, true),
        ("another name", "Fool's Gold", 1.0, false, false),
        ("another price", "Foo Coin", 3.0, false, false),
        ("two of that name", "Foo Coin", 1.0, true, false),
    ] {
        let market = Market::start().await;
        market.coinmarketcap.say(vec![changed("cmc_v3_listings_latest_gbp", |body| {
            let coin = &mut body["data"][19];
            foo(coin, "Foo Coin");
            coin["id"] = 99_999.into();
            coin["quote"][0]["price"] = 2.into();
        })]);
        market.coingecko.say(vec![changed("coingecko_markets_gbp", |coins| {
            let places = if twice { 18..20 } else { 19..20 };
            for place in places {
                foo(&mut coins[place], name);
                coins[place]["id"] = format!("foo-{place}").into();
                coins[place]["current_price"] = (2.0 * price).into();
            }
        })]);
        let app = market.app("coinmarketcap", &[]);
        let before = ids(&from(&app.user().await, "coinmarketcap").await)["FOO"];
        let other = app.replica_with(&[("COINS_PROVIDERS", "coingecko"), ("COINS_SYNC_INTERVAL", "1s")]);
        let after = ids(&from(&other.user().await, "coingecko").await)["FOO"];
        assert_eq!(before == after, same, "{case}");
    }
}

/// A well-known coin under another name, and another coin under its name.
#[tokio::test]
async fn two_coins_of_a_provider_never_become_one() {
    let market = Market::start().await;
    let app = market.app("coinmarketcap", &[]);
    let bitcoin = ids(&from(&app.user().await, "coinmarketcap").await)["BTC"];
    market.coingecko.say(vec![changed("coingecko_markets_gbp", |coins| {
        coins[19] = coins[0].clone();
        coins[19]["id"] = "bitcoin-of-somebody".into();
        coins[19]["market_cap_rank"] = 20.into();
        coins[0]["name"] = "Bitcoin Core".into();
    })]);
    let other = app.replica_with(&[("COINS_PROVIDERS", "coingecko"), ("COINS_SYNC_INTERVAL", "1s")]);
    let body = from(&other.user().await, "coingecko").await;
    assert_eq!(body["data"][0]["id"], bitcoin);
    assert_ne!(body["data"][19]["id"], bitcoin);
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
    let asked = market.coinpaprika.requests().len();
    eventually("more slots", async || market.coinpaprika.requests().len() > asked + 2).await;
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
async fn a_currency_that_nobody_tells_is_named_in_the_log_once() {
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
    let asked = market.coingecko.asked("/api/v3/coins/markets");
    eventually("more slots", async || market.coingecko.asked("/api/v3/coins/markets") > asked + 2).await;
    let lines = lines();
    assert!(lines.len() == 1 && lines[0].contains("XTS"), "{lines:?}");
    server.stop();
}

#[tokio::test]
async fn without_a_network_the_demonstration_is_served_and_the_log_says_so_once() {
    let (database, home) = (Database::create(), directory());
    let url = database.url();
    let closed = "http://127.0.0.1:1";
    let log = home.path().join("log");
    let settings = [
        ("DATABASE_URL", url.expose()),
        // An empty value counts as not set.
        ("COINS_PROVIDERS", ""),
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
    // Some slots more.
    time::sleep(Duration::from_secs(3)).await;
    let lines = lines();
    assert_eq!(lines.len(), 1, "{lines:?}");
    for name in ["coingecko: cannot be reached", "coinmarketcap-public:", "coinpaprika:"] {
        assert!(lines[0].contains(name), "{}", lines[0]);
    }
    server.stop();
}
