//! `GET /coins` and `GET /coins/{coin}`: filters, fields, CSV, names of coins.

use chrono::{DurationRound, SecondsFormat, TimeDelta};
use diesel::{
    RunQueryDsl, sql_query,
    sql_types::{BigInt, Timestamptz},
};
use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{
    App, begin_minutes, eventually,
    market::{self, COINS, Market, SYNC, changed, from},
    points::insert,
    social::{self, remark, status, timeline},
    upstream::Upstream,
};

const TABLE: &str = "/api/v1/coins.csv";

fn symbols(body: &Value) -> Vec<&str> {
    body["data"].as_array().unwrap().iter().map(|coin| coin["symbol"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn coins_are_chosen_by_their_symbols() {
    let app = App::start();
    let user = app.user().await;
    let list = async |query: &str| user.get(&format!("{COINS}?{query}")).await;
    assert_eq!(symbols(&list("symbols=eth,BTC,%20xrp,nope").await.assert(200).json()), ["BTC", "ETH", "XRP"]);
    assert_eq!(symbols(&list("symbols=eth,btc&sort=price&order=asc&limit=1").await.json()), ["ETH"]);
    assert!(symbols(&list("symbols=nope").await.assert(200).json()).is_empty());
    for bad in ["symbols=btc,,eth", "symbols=,"] {
        list(bad).await.assert_invalid("/symbols", "list");
    }
    let many = (0..101).map(|n| format!("c{n}")).collect::<Vec<_>>().join(",");
    list(&format!("symbols={many}")).await.assert_invalid("/symbols", "list");
    list("symbols=").await.assert_invalid("/symbols", "length");
    list(&format!("symbols={}", "x".repeat(1001))).await.assert_invalid("/symbols", "length");
}

#[tokio::test]
async fn fields_selects_the_fields_of_an_answer() {
    let app = App::start();
    let user = app.user().await;
    let list = async |fields: &str| user.get(&format!("{COINS}/sparse?limit=1&fields={fields}")).await;
    let names = |body: &Value| {
        let mut names: Vec<_> = body["data"][0].as_object().unwrap().keys().cloned().collect();
        names.sort();
        names
    };
    let body = list("price,rank").await.assert(200).json();
    assert_eq!(names(&body), ["id", "price", "rank", "symbol"]);
    assert_eq!((&body["source"], &body["data"][0]["symbol"]), (&"demo".into(), &"BTC".into()));
    assert_eq!(names(&list("symbol").await.json()), ["id", "symbol"]);
    // Demo data has no social figures.
    let body = list("social.sentiment").await.assert(200).json();
    assert_eq!((names(&body).len(), &body["data"][0]["social"]), (3, &Value::Null));
    for unknown in
        ["prize", "social.mood", "price,", "price.x", "social.interval.low", "", "social.", "__proto__"]
    {
        let code = if unknown.is_empty() { "length" } else { "unknown-field" };
        list(unknown).await.assert_invalid("/fields", code);
    }
    let problem = list("price,prize").await.assert_invalid("/fields", "unknown-field");
    assert!(problem.text().contains("`prize`"), "{}", problem.text());
    list(&["price"; 41].join(",")).await.assert_invalid("/fields", "length");
}

#[tokio::test]
async fn the_parameter_fields_leads_to_the_operation_that_takes_it() {
    let app = App::start();
    let user = app.user().await;
    let moved =
        user.get(&format!("{COINS}?fields=price")).await.assert_problem(400, "malformed-query").json();
    let error = &moved["errors"][0];
    assert_eq!((&error["pointer"], &error["code"]), (&"/fields".into(), &"query".into()));
    assert!(error["message"].as_str().unwrap().contains("GET /api/v1/coins/sparse"), "{moved}");
    let missing = user.get(&format!("{COINS}/sparse")).await.assert_problem(400, "malformed-query").json();
    assert_eq!(missing["errors"][0]["pointer"], "/fields");
}

#[tokio::test]
async fn the_table_has_a_heading_and_a_row_for_each_coin() {
    let app = App::start();
    let user = app.user().await;
    // The age of the data changes with the minute.
    begin_minutes(&app.clock, 1);
    let table = user.get(TABLE).await.assert(200);
    assert_eq!(table.header("content-type"), "text/csv; charset=utf-8; header=present");
    let text = table.text();
    let lines: Vec<&str> = text.split("\r\n").collect();
    assert!(
        lines[0].starts_with("id,symbol,name,slug,rank,price,")
            && lines[0].ends_with(",currency,source,as_of,stale,attribution,simulated")
    );
    assert_eq!((lines.len(), lines[21]), (22, ""));
    let bitcoin: Vec<&str> = lines[1].split(',').collect();
    assert_eq!(bitcoin.len(), lines[0].split(',').count());
    assert_eq!((bitcoin[1], bitcoin[5]), ("BTC", "70211.4421"));
    assert_eq!(bitcoin[bitcoin.len() - 5..], ["demo", "2026-11-20T10:00:00Z", "true", "", "true"]);

    let etag = table.header("etag").to_owned();
    let again = user.send(Method::GET, TABLE, |request| request.header("if-none-match", &etag)).await;
    again.assert(304);
    assert_ne!(user.get(COINS).await.assert(200).header("etag"), etag);

    let some = user.get(&format!("{TABLE}?limit=1&fields=price")).await.assert(200);
    assert!(some.text().starts_with(
        "id,symbol,price,currency,source,as_of,stale,attribution,simulated\r\n1,BTC,70211.4421,GBP,demo,"
    ));
    user.get(&format!("{TABLE}?fields=prize")).await.assert_invalid("/fields", "unknown-field");
}

#[tokio::test]
async fn the_list_is_json_whatever_the_client_accepts() {
    let app = App::start();
    let user = app.user().await;
    for accept in ["text/csv", "text/html", "image/png", "nonsense"] {
        let answer =
            user.send(Method::GET, COINS, |request| request.header("accept", accept)).await.assert(200);
        assert_eq!(answer.header("content-type"), "application/json", "{accept}");
    }
}

#[tokio::test]
async fn names_cannot_become_formulas_in_csv() {
    let market = Market::start().await;
    market.coinmarketcap.say(vec![changed("cmc_v3_listings_latest_gbp", |body| {
        body["data"][0]["name"] = "=HYPERLINK(\"http://evil.example\",\"x\")".into();
        body["data"][1]["name"] = "\u{ff1d}1+1".into();
    })]);
    let app = market.app("coinmarketcap", &[]);
    let user = app.user().await;
    from(&user, "coinmarketcap").await;
    let text = user.get(&format!("{TABLE}?fields=name&limit=2")).await.assert(200).text();
    let lines: Vec<_> = text.split("\r\n").collect();
    assert!(lines[1].contains(",\"'=HYPERLINK(\"\"http://evil.example\"\",\"\"x\"\")\","), "{text}");
    assert!(lines[2].contains(",\"'\u{ff1d}1+1\","), "{text}");
}

#[tokio::test]
async fn coins_are_sorted_by_social_figures() {
    let instance = Upstream::start(vec![timeline(&[])]).await;
    let posts = |first: u32, text: &str| {
        timeline(&(0..3).map(|n| status(first + n, i64::from(n) + 1, &remark(n, text))).collect::<Vec<_>>())
    };
    instance.say_at("/api/v1/timelines/tag/ethereum?", posts(1, "I love Ethereum"));
    instance.say_at("/api/v1/timelines/tag/bitcoin?", posts(11, "I hate Bitcoin"));
    // Twelve posts say something, three do not, however strong they are.
    let many = (21..33).map(|n| status(n, i64::from(n), &remark(n, "Solana is okay"))).collect::<Vec<_>>();
    instance.say_at("/api/v1/timelines/tag/solana?", timeline(&many));
    let market = social::market().await;
    let settings = [("SOCIAL_PROVIDERS", "mastodon"), ("MASTODON_URLS", instance.url.as_str())];
    let app = market::app(&market, &settings);
    let user = app.user().await;
    let list = async |query: &str| user.get(&format!("{COINS}?limit=3&{query}")).await.assert(200).json();
    eventually("sentiment of all", async || {
        let body = list("sort=sentiment").await;
        symbols(&body) == ["SOL", "ETH", "BTC"] && body["data"][2]["social"]["sentiment"].is_number()
    })
    .await;
    let ascending = list("sort=sentiment&order=asc").await;
    assert_eq!(symbols(&ascending), ["SOL", "BTC", "ETH"]);
    assert_eq!(ascending["data"][0]["social"]["confidence"], "low", "{ascending}");
    for by in ["sentiment_basic", "sentiment_crypto", "popularity", "posts_per_hour"] {
        let body = list(&format!("sort={by}")).await;
        assert!(
            body["data"][2]["social"][by].is_null() || body["data"][0]["social"][by].is_number(),
            "{body}"
        );
    }
    let sparse = format!("{COINS}/sparse?sort=sentiment&fields=social.sentiment,social.interval");
    let body = user.get(&sparse).await.assert(200).json();
    let social = body["data"][0]["social"].as_object().unwrap();
    assert_eq!(social.keys().collect::<Vec<_>>(), ["interval", "sentiment"]);
    let table = user.get(&format!("{TABLE}?sort=sentiment&limit=1")).await.assert(200).text();
    assert!(table.contains(",mastodon,"), "{table}");
}

#[tokio::test]
async fn a_coin_is_found_by_id_slug_or_symbol_and_an_ambiguous_name_lists_the_choices() {
    let market = Market::start().await;
    market.coinmarketcap.say(vec![changed("cmc_v3_listings_latest_gbp", |body| {
        body["data"][1]["symbol"] = "btc".into();
        body["data"][2]["symbol"] = "ethereum".into();
    })]);
    let app = market.app("coinmarketcap", &[]);
    let user = app.user().await;
    let list = from(&user, "coinmarketcap").await;
    let read = async |name: &str| user.get(&format!("{COINS}/{name}")).await;
    let ids: Vec<i64> =
        list["data"].as_array().unwrap().iter().map(|coin| coin["id"].as_i64().unwrap()).collect();
    assert_eq!(read(&ids[1].to_string()).await.assert(200).json()["data"]["name"], "Ethereum");
    assert_eq!(read("bitcoin").await.assert(200).json()["data"]["id"], ids[0]);
    assert_eq!(read("BNB").await.assert(200).json()["data"]["id"], ids[3]);

    // A symbol of two coins, and a symbol that is the slug of another coin.
    for (name, of) in [("bTc", [ids[0], ids[1]]), ("ethereum", [ids[1], ids[2]])] {
        let choice = read(name).await.assert_problem(300, "ambiguous");
        assert!(!choice.headers.contains_key("location"), "it redirects to neither");
        let body = choice.json();
        let found: Vec<i64> =
            body["choices"].as_array().unwrap().iter().map(|one| one["id"].as_i64().unwrap()).collect();
        assert_eq!(found, of);
        for choice in body["choices"].as_array().unwrap() {
            user.get(choice["href"].as_str().unwrap()).await.assert(200);
        }
        for path in [format!("{COINS}/{name}/history"), format!("{COINS}/{name}/chart.svg")] {
            user.get(&path).await.assert_problem(300, "ambiguous");
        }
        let watch = format!("/api/v1/user/watchlist/{name}");
        let alert = json!({"coin": name, "metric": "price", "direction": "above", "threshold": 75_000});
        let changes = [
            user.send(Method::PUT, &watch, |request| request).await,
            user.delete(&watch).await,
            user.post("/api/v1/user/alerts", &alert).await,
        ];
        for refused in changes {
            assert_eq!(refused.assert_problem(409, "ambiguous-name").json()["choices"], body["choices"]);
        }
    }
    for unknown in ["nope", "0", "-1", "99999999999999999999", "%00", "a%2Fb", &"x".repeat(1000)] {
        read(unknown).await.assert_problem(404, "not-found");
        user.get(&format!("{COINS}/{unknown}/history")).await.assert_problem(404, "not-found");
    }
}

#[tokio::test]
async fn a_coin_comes_with_its_latest_points() {
    let market = Market::start().await;
    let app = market.app("coingecko", &[]);
    let admin = app.admin().await;
    from(&admin, "coingecko").await;
    let read = async || admin.get(&format!("{COINS}/btc")).await.assert(200).json();
    let points = async || read().await["history"].as_array().unwrap().clone();
    let first = points().await;
    assert_eq!((first.len(), &first[0]["close"]), (1, &70211.4421.into()));
    market
        .coingecko
        .say(vec![changed("coingecko_markets_gbp", |coins| coins[0]["current_price"] = 70300.into())]);
    app.clock.advance(std::time::Duration::from_mins(5));
    admin.post_empty(SYNC).await.assert(202);
    eventually("another point", async || points().await.len() == 2).await;
    let points = points().await;
    assert_eq!(
        (&points[1]["open"], &points[1]["high"], &points[1]["samples"]),
        (&70300.0.into(), &70300.0.into(), &1.into())
    );
    assert!(points[0]["at"].as_str() < points[1]["at"].as_str());
}

#[tokio::test]
async fn the_oldest_of_the_latest_points_covers_its_whole_step() {
    let market = Market::start().await;
    let app = market.app("coingecko", &[]);
    let admin = app.admin().await;
    let bitcoin = from(&admin, "coingecko").await["data"][0]["id"].as_i64().unwrap();
    let start = app.clock.now().duration_trunc(TimeDelta::minutes(5)).unwrap() - TimeDelta::minutes(30);
    for number in 0..30 {
        insert(&app, bitcoin, start + TimeDelta::seconds(10) * number, 70_000.0, None);
    }
    admin.post_empty(SYNC).await.assert(202);
    let at = start.to_rfc3339_opts(SecondsFormat::Secs, true);
    let mut found = Value::Null;
    eventually("the point", async || {
        let body = admin.get(&format!("{COINS}/btc")).await.assert(200).json();
        let points = body["history"].as_array().unwrap();
        found = points.iter().find(|point| point["at"] == at).cloned().unwrap_or_default();
        found.is_object()
    })
    .await;
    assert_eq!(found["samples"], 30, "{found}");
}

#[tokio::test]
async fn very_short_slots_give_fewer_latest_points_but_complete_ones() {
    let market = Market::start().await;
    let app = market.app("coingecko", &[]);
    let admin = app.admin().await;
    let bitcoin = from(&admin, "coingecko").await["data"][0]["id"].as_i64().unwrap();
    let start = app.clock.now().duration_trunc(TimeDelta::minutes(5)).unwrap() - TimeDelta::minutes(20);
    // One snapshot a second, for a quarter of an hour.
    sql_query(
        "WITH s AS (INSERT INTO coin_snapshots (provider, currency, as_of, fetched_at) \
             SELECT 'coingecko', 'GBP', $1 + n * interval '1 second', $1 + n * interval '1 second' \
             FROM generate_series(0, 899) n ORDER BY n RETURNING id), \
         r AS (INSERT INTO snapshot_rates (snapshot_id, currency, rate, rated_at) SELECT id, 'GBP', 1, $1 FROM s) \
         INSERT INTO coin_quotes (snapshot_id, coin_id, rank, price) SELECT id, $2, 1, 70000 FROM s",
    )
    .bind::<Timestamptz, _>(start)
    .bind::<BigInt, _>(bitcoin)
    .execute(&mut app.sql())
    .unwrap();
    admin.post_empty(SYNC).await.assert(202);
    let mut points = Vec::new();
    eventually("the points", async || {
        let body = admin.get(&format!("{COINS}/btc")).await.assert(200).json();
        points.clone_from(body["history"].as_array().unwrap());
        points.iter().any(|point| point["samples"].as_i64() > Some(10))
    })
    .await;
    let at = (start + TimeDelta::minutes(10)).to_rfc3339_opts(SecondsFormat::Secs, true);
    assert_eq!((&points[0]["at"], &points[0]["samples"]), (&at.into(), &300.into()), "{points:?}");
}

#[tokio::test]
async fn demo_data_is_marked_as_such() {
    let app = App::start();
    let user = app.user().await;
    let body = user.get(COINS).await.assert(200).json();
    assert_eq!((&body["source"], &body["currency"]), (&"demo".into(), &"GBP".into()));
    assert_eq!(symbols(&body).len(), 20);
    assert_eq!(body["data"][0]["symbol"], "BTC");
}

#[tokio::test]
async fn coins_are_sorted_filtered_and_cut() {
    let app = App::start();
    let user = app.user().await;
    let list = async |query: &str| user.get(&format!("{COINS}?{query}")).await.assert(200).json();
    assert_eq!(symbols(&list("limit=3").await), ["BTC", "ETH", "USDT"]);
    assert_eq!(symbols(&list("limit=2&order=desc").await), ["SHIB", "HBAR"]);
    assert_eq!(symbols(&list("limit=2&sort=symbol").await), ["ADA", "AVAX"]);
    assert_eq!(symbols(&list("q=bitcoin").await), ["BTC", "BCH"]);
    assert_eq!(symbols(&list("q=sH").await), ["BCH", "SHIB"]);
    assert!(symbols(&list("q=nothing").await).is_empty());
    let prices: Vec<f64> = list("sort=price").await["data"]
        .as_array()
        .unwrap()
        .iter()
        .map(|coin| coin["price"].as_f64().unwrap())
        .collect();
    assert!(prices.is_sorted_by(|a, b| a >= b));
    let changes: Vec<f64> = list("sort=percent_change_24h&order=asc").await["data"]
        .as_array()
        .unwrap()
        .iter()
        .map(|coin| coin["percent_change_24h"].as_f64().unwrap())
        .collect();
    assert!(changes.is_sorted());
    for bad in ["limit=0", "limit=251", "q="] {
        user.get(&format!("{COINS}?{bad}")).await.assert_problem(422, "validation-failed");
    }
    for bad in ["limit=x", "sort=nonsense", "order=up", "page=1"] {
        user.get(&format!("{COINS}?{bad}")).await.assert_problem(400, "malformed-query");
    }
}

#[tokio::test]
async fn one_coin_is_read_by_its_symbol_in_any_case() {
    let app = App::start();
    let user = app.user().await;
    let body = user.get(&format!("{COINS}/btc")).await.assert(200).json();
    assert_eq!((&body["data"]["slug"], &body["source"]), (&"bitcoin".into(), &"demo".into()));
    user.get(&format!("{COINS}/NOPE")).await.assert_problem(404, "not-found");
}

#[tokio::test]
async fn a_table_begins_with_a_byte_order_mark_on_request_and_names_its_attribution() {
    let market = Market::start().await;
    let app = market.app("coingecko", &[]);
    let user = app.user().await;
    from(&user, "coingecko").await;
    let plain = user.get(&format!("{TABLE}?limit=1")).await.assert(200).text();
    assert!(
        plain.ends_with(",false,Data provided by CoinGecko (https://www.coingecko.com),false\r\n"),
        "{plain}"
    );
    let marked = user.get(&format!("{TABLE}?limit=1&bom=true")).await.assert(200).text();
    assert_eq!(marked, format!("\u{feff}{plain}"));
    assert_eq!(user.get(&format!("{TABLE}?limit=1&bom=false")).await.assert(200).text(), plain);
    for path in [
        format!("{TABLE}?bom=1"),
        format!("{COINS}?bom=true"),
        format!("{COINS}/sparse?fields=price&bom=true"),
    ] {
        user.get(&path).await.assert_problem(400, "malformed-query");
    }
}
