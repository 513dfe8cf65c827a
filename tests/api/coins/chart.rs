//! `GET /coins/{coin}/chart.svg`.

use chrono::{NaiveDateTime, TimeDelta};
use reqwest::Method;

use crate::support::{
    App, eventually,
    market::{COINS, Market, changed, from},
    points::{insert, with_a_day},
    social::{self, remark, status, timeline},
    upstream::Upstream,
};

#[tokio::test]
async fn a_chart_is_an_image_without_scripts_or_external_resources() {
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
    assert!(day.contains("Price in GBP") && day.contains("last 24 hours") && day.contains("Low £69,"));
    assert_eq!(day.matches("stroke-linejoin").count(), 2, "the gap is a gap");
    assert!(chart("metric=popularity").await.text().contains("ratio to bitcoin"));
    let empty = user.get(&format!("{COINS}/shib/chart.svg")).await.assert(200).text();
    assert!(empty.contains(">No data yet</text>"));
    user.get(&format!("{COINS}/btc/chart.svg?range=2d")).await.assert_problem(400, "malformed-query");
    user.get(&format!("{COINS}/nope/chart.svg")).await.assert_problem(404, "not-found");
    app.anyone().get(&format!("{COINS}/btc/chart.svg")).await.assert_problem(401, "missing-token");
}

#[tokio::test]
async fn names_are_escaped_in_a_chart() {
    let market = Market::start().await;
    market.coinmarketcap.say(vec![changed("cmc_v3_listings_latest_gbp", |body| {
        body["data"][0]["name"] = "</text><script>alert(1)</script>&\"'".into();
    })]);
    let app = market.app("coinmarketcap", &[]);
    let user = app.user().await;
    from(&user, "coinmarketcap").await;
    let svg = user.get(&format!("{COINS}/btc/chart.svg?range=1d")).await.assert(200).text();
    assert!(!svg.contains("<script") && svg.contains("&#60;script&#62;alert(1)"), "{svg}");
    assert!(svg.contains("Data provided by CoinMarketCap"), "{svg}");
}

#[tokio::test]
async fn a_chart_labels_no_future_time() {
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
        assert_eq!(svg.contains("which is not over"), range != "1d", "{range}: {svg}");
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
    assert_eq!(svg.matches("stroke-linejoin").count(), 2, "the gap is a gap");
    assert!(!svg.contains("r=\"2\""), "nothing is loose: {svg}");
}

#[tokio::test]
async fn a_chart_has_the_size_that_is_asked_for_and_a_small_one_is_only_a_line() {
    let app = App::start();
    let user = app.user().await;
    with_a_day(&app, &user).await;
    let chart = async |query: &str| {
        user.get(&format!("{COINS}/btc/chart.svg?range=1d&{query}")).await.assert(200).text()
    };
    for (query, width, height, has_texts) in [
        ("", 720, 380, true),
        ("width=390", 390, 380, true),
        ("width=320&height=240", 320, 240, true),
        ("width=1600&height=1000", 1600, 1000, true),
        ("sparkline=true", 120, 40, false),
        ("sparkline=true&width=400&height=300", 400, 300, false),
        ("sparkline=false&width=319", 319, 380, false),
        ("width=40&height=16", 40, 16, false),
    ] {
        let svg = chart(query).await;
        let size = format!("width=\"{width}\" height=\"{height}\" viewBox=\"0 0 {width} {height}\"");
        assert!(svg.contains(&size), "{query}: {svg}");
        assert_eq!((svg.contains("<text"), svg.contains("<rect")), (has_texts, has_texts), "{query}: {svg}");
        assert!(
            svg.contains("<title id=\"t\">Bitcoin (BTC): price") && svg.contains("Lowest £69,"),
            "{query}"
        );
        assert_eq!(svg.matches("stroke-linejoin").count(), 2, "{query}: the gap is a gap");
    }
    for (query, pointer) in [
        ("width=39", "/width"),
        ("width=1601", "/width"),
        ("height=15", "/height"),
        ("height=1001", "/height"),
    ] {
        let path = format!("{COINS}/btc/chart.svg?{query}");
        user.get(&path).await.assert_invalid(pointer, "range");
    }
    for query in ["width=-1", "width=1e3", "width=99999999999", "width=", "sparkline=yes"] {
        let path = format!("{COINS}/btc/chart.svg?{query}");
        user.get(&path).await.assert_problem(400, "malformed-query");
    }
    let empty = user.get(&format!("{COINS}/shib/chart.svg?sparkline=true")).await.assert(200).text();
    assert!(empty.contains("No data yet.</desc>") && empty.contains("stroke-dasharray"), "{empty}");
}

/// The interval is of the last value. Beside the mean of a day it would mean nothing.
#[tokio::test]
async fn the_interval_of_sentiment_is_drawn_only_beside_single_values() {
    let instance = Upstream::start(vec![timeline(&[])]).await;
    let market = social::market().await;
    let settings = [("SOCIAL_PROVIDERS", "mastodon"), ("MASTODON_URLS", instance.url.as_str())];
    let app = crate::support::market::app(&market, &settings);
    let user = app.user().await;
    let posts: Vec<_> = (0..8)
        .map(|n| {
            let text = if n % 2 == 0 { "I love Bitcoin" } else { "I hate Bitcoin" };
            status(n, i64::from(n) + 1, &remark(n, text))
        })
        .collect();
    instance.say_at("/api/v1/timelines/tag/bitcoin?", timeline(&posts));
    eventually("an interval", async || {
        user.get(&format!("{COINS}/btc")).await.json()["data"]["social"]["interval"].is_object()
    })
    .await;
    for (range, has_interval) in [("1d", true), ("7d", false), ("30d", false), ("90d", false), ("1y", false)]
    {
        let path = format!("{COINS}/btc/chart.svg?metric=sentiment&range={range}");
        let svg = user.get(&path).await.assert(200).text();
        assert_eq!(svg.contains("95% interval"), has_interval, "{range}: {svg}");
        assert!(!svg.contains("No data yet"), "{range}: {svg}");
    }
}
