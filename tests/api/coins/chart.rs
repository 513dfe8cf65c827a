//! History and its picture.

use chrono::{DateTime, NaiveDateTime, SecondsFormat, TimeDelta, Utc};
use reqwest::Method;
use serde_json::Value;

use crate::support::{
    App, Client, begin_minutes,
    market::{COINS, Market, changed, from},
    points::insert,
};

/// A day of snapshots until now, an hour of them missing, and bitcoin's id. Five minutes begin now.
async fn with_a_day(app: &App, user: &Client) -> (i64, DateTime<Utc>) {
    let body = user.get(&format!("{COINS}/btc")).await.assert(200).json();
    let coin = body["data"]["id"].as_i64().unwrap();
    begin_minutes(&app.clock, 5);
    let now = app.clock.now();
    for n in (0..288).filter(|n| !(100..112).contains(n)) {
        let price = 70_000.0 + 1000.0 * (f64::from(n) / 20.0).sin();
        insert(app, coin, now - TimeDelta::minutes(5) * (287 - n), price, Some(0.1));
    }
    (coin, now)
}

fn points(body: &Value) -> &Vec<Value> {
    body["data"].as_array().unwrap()
}

#[tokio::test]
async fn history_has_points_of_the_wanted_length_and_gaps_stay_gaps() {
    let app = App::start();
    let user = app.user().await;
    let (coin, _) = with_a_day(&app, &user).await;
    let read = async |query: &str| user.get(&format!("{COINS}/bitcoin/history{query}")).await;
    let answer = read("?interval=5m").await.assert(200);
    let body = answer.json();
    assert_eq!((&body["coin"], &body["currency"]), (&coin.into(), &"GBP".into()));
    assert_eq!(body["interval_seconds"], 300);
    assert!((275..=276).contains(&points(&body).len()), "{}", points(&body).len());
    let again = user
        .send(Method::GET, &format!("{COINS}/{coin}/history?interval=5m"), |request| {
            request.header("if-none-match", answer.header("etag"))
        })
        .await;
    again.assert(304);

    let hours = read("").await.assert(200).json();
    assert!((23..=25).contains(&points(&hours).len()), "{}", points(&hours).len());
    let whole = points(&hours).iter().find(|point| point["samples"] == 12).unwrap();
    let number = |name: &str| whole[name].as_f64().unwrap();
    assert!(number("high") >= number("open").max(number("close")));
    assert!(number("low") <= number("open").min(number("close")));
    assert!((number("sentiment") - 0.1).abs() < 1e-9 && (number("popularity") - 1.0).abs() < 1e-9);

    for (metric, names) in [
        ("price", &["at", "close", "high", "low", "open", "samples"][..]),
        ("sentiment", &["at", "samples", "sentiment"]),
        ("popularity", &["at", "popularity", "samples"]),
    ] {
        let body = read(&format!("?metric={metric}")).await.assert(200).json();
        let mut found: Vec<_> = points(&body)[0].as_object().unwrap().keys().collect();
        found.sort();
        assert_eq!(found, names);
    }
    let unknown = user.get(&format!("{COINS}/shib/history")).await.assert(200).json();
    assert!(points(&unknown).is_empty());
}

#[tokio::test]
async fn history_is_bounded_and_says_what_is_not_kept() {
    let app = App::start();
    let user = app.user().await;
    let read = async |query: &str| user.get(&format!("{COINS}/btc/history?{query}")).await;
    let ago = |days| (app.clock.now() - TimeDelta::days(days)).to_rfc3339_opts(SecondsFormat::Secs, true);
    let (two, ten, hundred) = (ago(2), ago(10), ago(100));
    read(&format!("interval=1d&from={hundred}")).await.assert(200);
    read(&format!("interval=5m&from={ten}&to={}", ago(9))).await.assert_invalid("/interval", "not-kept");
    read(&format!("interval=1h&from={hundred}&to={}", ago(95))).await.assert_invalid("/interval", "not-kept");
    let problem = read(&format!("interval=5m&from={}", ago(5))).await.assert_invalid("/from", "range");
    assert!(problem.text().contains("1000"), "{}", problem.text());
    read(&format!("from={two}&to={two}")).await.assert_invalid("/from", "range");
    read("from=2999-01-01T00:00:00Z").await.assert_invalid("/from", "range");
    read("to=1970-01-01T00:00:00Z").await.assert_invalid("/to", "range");
    for extreme in ["-262143-01-01T00:00:00Z", "%2B262142-12-31T23:59:59Z", "0000-01-01T00:00:00Z"] {
        for name in ["from", "to"] {
            for interval in ["5m", "1h", "1d"] {
                let answer = read(&format!("interval={interval}&{name}={extreme}")).await;
                assert!(answer.status.as_u16() < 500, "{name}={extreme}: {}", answer.text());
            }
        }
    }
    for bad in ["interval=2h", "from=yesterday", "metric=volume", "page=1", "from=2026-11-20"] {
        read(bad).await.assert_problem(400, "malformed-query");
    }
    read("currency=XXX").await.assert_problem(422, "validation-failed");
}

#[tokio::test]
async fn a_coin_that_has_left_the_list_keeps_its_history() {
    let market = Market::start().await;
    let app = market.app("coingecko", &[]);
    let user = app.user().await;
    from(&user, "coingecko").await;
    diesel::RunQueryDsl::execute(
        diesel::sql_query("INSERT INTO coins (symbol, name, slug, named_by) VALUES ('OLD', 'Old & <b>Gone', 'old-gone', 'coingecko')"),
        &mut app.sql(),
    )
    .unwrap();
    user.get(&format!("{COINS}/old")).await.assert_problem(404, "not-found");
    let body = user.get(&format!("{COINS}/OLD/history")).await.assert(200).json();
    let by_id = format!("{COINS}/{}/chart.svg", body["coin"]);
    let svg = user.get(&by_id).await.assert(200).text();
    assert!(svg.contains("Old &amp; &lt;b&gt;Gone (OLD)") && svg.contains("No data yet"), "{svg}");
    user.get(&format!("{COINS}/old-gone/history")).await.assert(200);
}

#[tokio::test]
async fn a_chart_is_a_picture_that_runs_and_loads_nothing() {
    let app = App::start();
    let user = app.user().await;
    with_a_day(&app, &user).await;
    let chart = async |query: &str| user.get(&format!("{COINS}/btc/chart.svg?{query}")).await.assert(200);
    for query in [
        "",
        "range=1d",
        "range=30d&theme=dark",
        "range=90d&metric=sentiment",
        "range=1y&metric=popularity&theme=light&currency=gbp",
    ] {
        let answer = chart(query).await;
        assert_eq!(answer.header("content-type"), "image/svg+xml");
        assert_eq!(answer.header("cache-control"), "private, max-age=60");
        assert_eq!(
            answer.header("content-security-policy"),
            "default-src 'none'; sandbox; frame-ancestors 'none'"
        );
        let svg = answer.text();
        assert!(svg.starts_with("<svg ") && svg.ends_with("</svg>\n"));
        for part in ["viewBox=\"0 0 720 380\"", "<title id=\"t\">Bitcoin (BTC): ", "<desc id=\"d\">"] {
            assert!(svg.contains(part), "{part} is missing in {query}");
        }
        for never in ["<script", "href", "@import", "<style", "NaN", "inf", "<foreignObject"] {
            assert!(!svg.contains(never), "{never} in {query}");
        }
        let again = user
            .send(Method::GET, &format!("{COINS}/btc/chart.svg?{query}"), |request| {
                request.header("if-none-match", answer.header("etag"))
            })
            .await;
        again.assert(304);
    }
    let day = chart("range=1d").await.text();
    assert!(day.contains("Price in GBP") && day.contains("last 24 hours") && day.contains("Low 69,"));
    assert_eq!(day.matches("fill=\"none\" stroke=\"#1f5fd0\"").count(), 2, "the gap is a gap");
    assert!(chart("metric=popularity").await.text().contains("ratio to bitcoin"));
    let empty = user.get(&format!("{COINS}/shib/chart.svg")).await.assert(200).text();
    assert!(empty.contains(">No data yet</text>"));
    user.get(&format!("{COINS}/btc/chart.svg?range=2d")).await.assert_problem(400, "malformed-query");
    user.get(&format!("{COINS}/nope/chart.svg")).await.assert_problem(404, "not-found");
    app.anyone().get(&format!("{COINS}/btc/chart.svg")).await.assert_problem(401, "missing-token");
}

#[tokio::test]
async fn a_foreign_name_is_only_text_in_a_chart() {
    let market = Market::start().await;
    market.coinmarketcap.say(vec![changed("cmc_v3_listings_latest_gbp", |body| {
        body["data"][0]["name"] = "</text><script>alert(1)</script>&\"'".into();
    })]);
    let app = market.app("coinmarketcap", &[]);
    let user = app.user().await;
    from(&user, "coinmarketcap").await;
    let svg = user.get(&format!("{COINS}/btc/chart.svg?range=1d")).await.assert(200).text();
    assert!(!svg.contains("<script") && svg.contains("&lt;script&gt;alert(1)"), "{svg}");
    assert!(svg.contains("Data provided by CoinMarketCap"), "{svg}");
}

#[tokio::test]
async fn a_chart_names_no_time_to_come() {
    let app = App::start();
    let user = app.user().await;
    with_a_day(&app, &user).await;
    for range in ["1d", "7d", "1y"] {
        let svg = user.get(&format!("{COINS}/btc/chart.svg?range={range}")).await.assert(200).text();
        let (_, rest) = svg.split_once(" on ").unwrap();
        let (time, _) = rest.split_once(" UTC").unwrap();
        let last = NaiveDateTime::parse_from_str(time, "%d %B %Y, %H:%M").unwrap().and_utc();
        let now = app.clock.now();
        assert!(last <= now && now - last < TimeDelta::minutes(6), "{range}: {time}");
    }
}

#[tokio::test]
async fn points_of_slots_that_are_longer_than_the_charts_steps_are_one_line() {
    let app = App::with(&[("COINS_SYNC_INTERVAL", "15m")]);
    let user = app.user().await;
    let bitcoin = user.get(&format!("{COINS}/btc")).await.assert(200).json()["data"]["id"].as_i64().unwrap();
    let now = app.clock.now();
    for number in (0..40).filter(|number| *number != 20) {
        insert(&app, bitcoin, now - TimeDelta::minutes(15) * number, 70_000.0, None);
    }
    let svg = user.get(&format!("{COINS}/btc/chart.svg?range=1d")).await.assert(200).text();
    assert_eq!(svg.matches("fill=\"none\" stroke=\"#1f5fd0\"").count(), 2, "the gap is a gap");
    assert!(!svg.contains("r=\"2\""), "nothing is loose: {svg}");
}
