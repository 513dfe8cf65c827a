//! `GET /coins/{coin}/history`, before and after roll-ups.

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use diesel::{
    Connection, QueryableByName, RunQueryDsl, sql_query,
    sql_types::{BigInt, Double, Timestamptz},
};
use mintage::{
    db::CoinId,
    market::{Point, Step, history},
};
use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{
    App, eventually,
    market::{COINS, Market, from, updated_at},
    noon,
    points::{insert, points, with_a_day},
};

fn close(found: &Value, expected: f64) -> bool {
    found.as_f64().is_some_and(|found| (found - expected).abs() <= 1e-9 * expected.abs())
}

/// Stores a snapshot of the first coin for every 5 minutes from `start`, with a changing rate of the dollar.
fn remember(app: &App, start: DateTime<Utc>, prices: &[f64]) -> CoinId {
    #[derive(QueryableByName)]
    struct Id {
        #[diesel(sql_type = BigInt)]
        id: CoinId,
    }
    let mut conn = app.sql();
    let coin = sql_query("SELECT min(id) AS id FROM coins").get_result::<Id>(&mut conn).unwrap().id;
    conn.transaction(|conn| {
        for (number, price) in (0..).zip(prices) {
            sql_query(
                "WITH s AS (INSERT INTO coin_snapshots (provider, currency, as_of, fetched_at) \
                     VALUES ('coingecko', 'GBP', $1, $1) RETURNING id), \
                 r AS (INSERT INTO snapshot_rates (snapshot_id, currency, rate, rated_at) \
                     SELECT id, 'GBP', 1, $1 FROM s UNION ALL SELECT id, 'USD', $4, $1 FROM s) \
                 INSERT INTO coin_quotes (snapshot_id, coin_id, rank, price, volume_24h, sentiment) \
                     SELECT id, $2, 1, $3, $3 * 2, 0.5 FROM s",
            )
            .bind::<Timestamptz, _>(start + TimeDelta::minutes(5) * number)
            .bind::<BigInt, _>(coin)
            .bind::<Double, _>(price)
            .bind::<Double, _>(1.0 + f64::from(number) / 1000.0)
            .execute(conn)?;
        }
        diesel::QueryResult::Ok(())
    })
    .unwrap();
    coin
}

#[tokio::test]
async fn history_is_the_same_before_and_after_it_is_rolled_up_and_old_parts_go() {
    let market = Market::start().await;
    let app = market.app("demo", &[("COINS_CURRENCIES", "GBP,USD")]);
    // Two days of snapshots with a day between them, ten days ago.
    let start = (app.clock.now() - TimeDelta::days(10)).date_naive().and_hms_opt(0, 2, 0).unwrap().and_utc();
    let prices: Vec<f64> = (0..576).map(|n| 100.0 + f64::from(n * 7919 % 101)).collect();
    let coin = remember(&app, start, &prices[..288]);
    remember(&app, start + TimeDelta::days(2), &prices[288..]);
    let all = |step, currency: &str| -> Vec<Point> {
        let range = (start - TimeDelta::days(1), start + TimeDelta::days(4));
        history(&mut app.sql(), coin, currency, range, step, 10_000).unwrap()
    };
    let steps = [(Step::FiveMinutes, 576), (Step::Hour, 48), (Step::Day, 2)];
    let before: Vec<_> = steps.iter().flat_map(|(step, _)| [all(*step, "GBP"), all(*step, "USD")]).collect();
    for ((_, points), pair) in steps.iter().zip(before.chunks(2)) {
        assert_eq!((pair[0].len(), pair[1].len()), (*points, *points));
    }
    let hour = &all(Step::Hour, "GBP")[0];
    let (low, high) = prices[..12].iter().fold((f64::MAX, f64::MIN), |(l, h), p| (l.min(*p), h.max(*p)));
    assert_eq!((hour.open, hour.close), (Some(prices[0]), Some(prices[11])));
    assert_eq!((hour.low, hour.high, hour.samples), (Some(low), Some(high), 12));
    assert_eq!(hour.sentiment, Some(0.5));

    // Each sync rolls up ten steps.
    let syncing = app.replica_with(&[("COINS_PROVIDERS", "coingecko"), ("COINS_SYNC_INTERVAL", "1s")]);
    eventually("the roll-up", async || {
        app.count("SELECT count(*) FROM coin_history WHERE step_seconds = 86400 AND currency = 'USD'") >= 2
    })
    .await;
    let week_ago = (app.clock.now() - TimeDelta::days(7)).to_rfc3339();
    let old =
        format!("SELECT count(*) FROM coin_snapshots WHERE fetched_at < '{week_ago}' AND provider <> 'demo'");
    eventually("the pruning", async || app.count(&old) == 0).await;
    drop(syncing);
    assert!(all(Step::FiveMinutes, "GBP").is_empty(), "every slot is kept for 7 days");
    let after =
        [all(Step::Hour, "GBP"), all(Step::Hour, "USD"), all(Step::Day, "GBP"), all(Step::Day, "USD")];
    for (before, after) in before[2..].iter().zip(&after) {
        assert_eq!(before.len(), after.len());
        for (before, after) in before.iter().zip(after) {
            let same = |a: Option<f64>, b: Option<f64>| (a.unwrap() - b.unwrap()).abs() <= 1e-9 * a.unwrap();
            assert_eq!((before.at, before.samples), (after.at, after.samples));
            assert_eq!((&before.sources, &after.sources), (&vec!["coingecko".to_owned()], &before.sources));
            assert_eq!((before.open, before.high), (after.open, after.high));
            assert_eq!((before.low, before.close), (after.low, after.close));
            assert!(same(before.volume_24h, after.volume_24h) && same(before.sentiment, after.sentiment));
        }
    }
}

#[tokio::test]
async fn a_days_means_are_the_same_before_and_after_its_hours_are_rolled_up() {
    let market = Market::start().await;
    let app = market.app("demo", &[]);
    let user = app.user().await;
    let bitcoin = user.get(&format!("{COINS}/btc")).await.assert(200).json()["data"]["id"].as_i64().unwrap();
    let day = (app.clock.now() - TimeDelta::days(2)).date_naive().and_hms_opt(0, 0, 0).unwrap().and_utc();
    // In the first hour all ten have a sentiment, in the second one of ten.
    for number in 0..20 {
        let at = day + TimeDelta::minutes(6) * number;
        let sentiment = match number {
            0..10 => Some(0.0),
            10 => Some(1.0),
            _ => None,
        };
        insert(&app, bitcoin, at, 70_000.0, sentiment);
    }
    // Another provider took over within the second hour.
    sql_query("UPDATE coin_snapshots SET provider = 'coinpaprika' WHERE as_of >= $1")
        .bind::<Timestamptz, _>(day + TimeDelta::minutes(90))
        .execute(&mut app.sql())
        .unwrap();
    // The day is rolled up when there is an hour of the next one.
    insert(&app, bitcoin, day + TimeDelta::hours(25), 70_000.0, None);
    let read = async || {
        let body = user.get(&format!("{COINS}/btc/history?interval=1d")).await.assert(200).json();
        body["data"][0].clone()
    };
    let before = read().await;
    assert!(close(&before["sentiment"], 1.0 / 11.0), "{before}");
    let syncing = app.replica_with(&[("COINS_PROVIDERS", "coingecko"), ("COINS_SYNC_INTERVAL", "1s")]);
    eventually("the roll-up", async || {
        app.count("SELECT count(*) FROM coin_history WHERE step_seconds = 86400") > 0
    })
    .await;
    drop(syncing);
    let after = read().await;
    assert!(close(&after["sentiment"], 1.0 / 11.0), "{after}");
    assert_eq!(before["sources"], json!(["coingecko", "coinpaprika"]), "{before}");
    for name in ["at", "open", "high", "low", "close", "popularity", "samples", "sources"] {
        assert_eq!(before[name], after[name], "{name}");
    }
}

#[tokio::test]
async fn points_begin_within_the_range_and_are_bounded() {
    let app = App::with(&[("COINS_CURRENCIES", "GBP")]);
    let start = (app.clock.now() - TimeDelta::days(2)).date_naive().and_hms_opt(0, 0, 0).unwrap().and_utc();
    let coin = remember(&app, start, &[1.0; 48]);
    let hours = |from: i64, to: i64, most| -> Vec<i64> {
        let range = (start + TimeDelta::minutes(from), start + TimeDelta::minutes(to));
        let points = history(&mut app.sql(), coin, "GBP", range, Step::Hour, most).unwrap();
        points.iter().map(|point| (point.at - start).num_hours()).collect()
    };
    assert_eq!(hours(0, 240, 9), [0, 1, 2, 3]);
    assert_eq!(hours(1, 180, 9), [1, 2]);
    assert_eq!(hours(60, 181, 9), [1, 2, 3]);
    assert_eq!(hours(0, 240, 2), [0, 1]);
    assert!(hours(240, 0, 9).is_empty());
    assert!(
        history(&mut app.sql(), coin, "EUR", (start, app.clock.now()), Step::Hour, 9).unwrap().is_empty()
    );
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
        (
            "price",
            &["at", "close", "high", "low", "market_cap", "open", "samples", "sources", "volume_24h"][..],
        ),
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
async fn history_is_bounded_and_intervals_that_are_not_kept_are_refused() {
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
    assert!(svg.contains("Old &#38; &#60;b&#62;Gone (OLD)") && svg.contains("No data yet"), "{svg}");
    user.get(&format!("{COINS}/old-gone/history")).await.assert(200);
}

#[tokio::test]
async fn history_names_its_sources_and_the_time_of_the_newest_data() {
    let market = Market::start().await;
    market.coinmarketcap.say(vec![updated_at(noon().now() - TimeDelta::minutes(7))]);
    let app = market.app("coinmarketcap", &[]);
    let user = app.user().await;
    let body = from(&user, "coinmarketcap").await;
    let other = app.replica_with(&[("COINS_PROVIDERS", "coingecko"), ("COINS_SYNC_INTERVAL", "1s")]);
    let newer = from(&other.user().await, "coingecko").await;
    drop(other);
    let read = async |query: &str| user.get(&format!("{COINS}/btc/history?{query}")).await.assert(200).json();
    let (hours, posts) = (read("interval=1d").await, read("interval=1d&metric=sentiment").await);
    assert_eq!(points(&hours).last().unwrap()["sources"], json!(["coingecko", "coinmarketcap"]), "{hours}");
    let attributions = json!([
        {"source": "coingecko", "attribution": "Data provided by CoinGecko (https://www.coingecko.com)"},
        {"source": "coinmarketcap", "attribution": "Data provided by CoinMarketCap (https://coinmarketcap.com)"},
    ]);
    assert_eq!(hours["attributions"], attributions);
    assert_eq!(posts["attributions"], json!([]), "no posts were read");
    let as_of = |value: &Value| value["as_of"].as_str().unwrap().parse::<DateTime<Utc>>().unwrap();
    assert!(as_of(&hours) >= as_of(&newer) && as_of(&newer) > as_of(&body), "{hours}");
    let svg = user.get(&format!("{COINS}/btc/chart.svg?range=1d")).await.assert(200).text();
    assert!(svg.contains("Data provided by CoinGecko \u{b7} CoinMarketCap<"), "{svg}");
    let svg = user.get(&format!("{COINS}/btc/chart.svg?range=1d&metric=sentiment")).await.assert(200).text();
    assert!(!svg.contains("Data provided"), "{svg}");
}

#[tokio::test]
async fn nothing_is_rolled_up_that_later_data_may_belong_to() {
    let market = Market::start().await;
    let app = market.app("demo", &[]);
    let user = app.user().await;
    let bitcoin = user.get(&format!("{COINS}/btc")).await.assert(200).json()["data"]["id"].as_i64().unwrap();
    // Noon, so that the hour before has just ended. The newest data is of 10 minutes before its end.
    let noon = Step::Hour.floor(app.clock.now());
    for minutes in [130, 70, 65] {
        insert(&app, bitcoin, noon - TimeDelta::minutes(minutes), 70_000.0, None);
    }
    market.coinmarketcap.say(vec![updated_at(noon - TimeDelta::minutes(45))]);
    let syncing = app.replica_with(&[("COINS_PROVIDERS", "coinmarketcap"), ("COINS_SYNC_INTERVAL", "1s")]);
    eventually("a roll-up", async || {
        app.count("SELECT count(*) FROM coin_rollups WHERE step_seconds = 3600") == 1
    })
    .await;
    drop(syncing);
    // Data of 11:15: what ended by 10:55 is rolled up, since another provider may be behind by a quarter of an hour.
    let count = |from: i64, to: i64| {
        let at = |minutes| (noon - TimeDelta::minutes(minutes)).to_rfc3339();
        app.count(&format!(
            "SELECT count(*) FROM coin_history WHERE step_seconds = 3600 AND at >= '{}' AND at < '{}'",
            at(from),
            at(to)
        ))
    };
    assert_eq!((count(180, 120), count(120, 0)), (1, 0));
}

/// Writes rolled-up hours of bitcoin: the price of each is its number from the start.
fn roll_up_hours(app: &App, coin: i64, start: DateTime<Utc>, count: i32, step_seconds: i32) {
    sql_query(
        "INSERT INTO coin_history (coin_id, currency, step_seconds, at, open, high, low, close, volume_24h, \
             market_cap, sentiment, popularity, samples, sources, volume_24h_samples, market_cap_samples, \
             sentiment_samples, popularity_samples) \
         SELECT $1, 'GBP', $4, $2 + n * $4 * interval '1 second', n, n + 0.75, n - 0.25, n + 0.5, n, 1000 + n, NULL, NULL, \
             1, ARRAY[CASE WHEN n % 2 = 0 THEN 'coingecko' ELSE 'coinpaprika' END], 1 + n % 2, 1, 0, 0 \
         FROM generate_series(0, $3 - 1) n",
    )
    .bind::<BigInt, _>(coin)
    .bind::<Timestamptz, _>(start)
    .bind::<diesel::sql_types::Integer, _>(count)
    .bind::<diesel::sql_types::Integer, _>(step_seconds)
    .execute(&mut app.sql())
    .unwrap();
}

fn in_utc(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Secs, true)
}

#[tokio::test]
async fn points_of_four_hours_and_of_weeks_are_made_of_hours_and_days() {
    let app = App::start();
    let user = app.user().await;
    let bitcoin = user.get(&format!("{COINS}/btc")).await.assert(200).json()["data"]["id"].as_i64().unwrap();
    let day = (app.clock.now() - TimeDelta::days(3)).date_naive().and_hms_opt(0, 0, 0).unwrap().and_utc();
    roll_up_hours(&app, bitcoin, day, 24, 3600);
    let read = async |query: &str| user.get(&format!("{COINS}/btc/history?{query}")).await.assert(200).json();
    let body = read("interval=4h").await;
    assert_eq!((points(&body).len(), &body["interval_seconds"]), (6, &14_400.into()), "{body}");
    let second = &points(&body)[1];
    assert_eq!(second["at"], in_utc(day + TimeDelta::hours(4)));
    // Of hours 4 to 7; odd hours weigh two in the mean of the volume.
    let prices = ["open", "high", "low", "close"].map(|name| second[name].clone());
    assert_eq!(json!(prices), json!([4.0, 7.75, 3.75, 7.5]));
    assert!(close(&second["volume_24h"], (4.0 + 2.0 * 5.0 + 6.0 + 2.0 * 7.0) / 6.0), "{second}");
    assert!(close(&second["market_cap"], 1005.5), "{second}");
    assert_eq!((&second["samples"], &second["sources"]), (&4.into(), &json!(["coingecko", "coinpaprika"])));

    // Three weeks of days from a Monday.
    let monday: DateTime<Utc> = "2026-08-03T00:00:00Z".parse().unwrap();
    roll_up_hours(&app, bitcoin, monday - TimeDelta::days(1), 16, 86_400);
    let body = read("interval=1w&from=2026-07-01T00:00:00Z&to=2026-09-01T00:00:00Z").await;
    let weeks = points(&body);
    let begins: Vec<_> = weeks.iter().map(|week| week["at"].as_str().unwrap()).collect();
    assert_eq!(
        begins,
        ["2026-07-27T00:00:00Z", "2026-08-03T00:00:00Z", "2026-08-10T00:00:00Z", "2026-08-17T00:00:00Z"]
    );
    assert_eq!(
        (&weeks[1]["open"], &weeks[1]["close"], &weeks[1]["samples"]),
        (&json!(1.0), &json!(7.5), &json!(7))
    );
    // A week that began before the range is no point of it.
    let body = read("interval=1w&from=2026-08-04T00:00:00Z&to=2026-08-11T00:00:00Z").await;
    assert_eq!((points(&body).len(), &points(&body)[0]["at"]), (1, &"2026-08-10T00:00:00Z".into()), "{body}");
}

#[tokio::test]
async fn points_of_a_quarter_of_an_hour_are_made_of_snapshots() {
    let app = App::start();
    let user = app.user().await;
    let (_, now) = with_a_day(&app, &user).await;
    let read = async |interval: &str| {
        let path =
            format!("{COINS}/btc/history?interval={interval}&from={}", in_utc(now - TimeDelta::hours(6)));
        points(&user.get(&path).await.assert(200).json()).clone()
    };
    let (fine, coarse) = (read("5m").await, read("15m").await);
    assert!(coarse.len() >= 23, "{}", coarse.len());
    for point in &coarse {
        let at: DateTime<Utc> = point["at"].as_str().unwrap().parse().unwrap();
        assert_eq!(at.timestamp() % 900, 0);
        let within = |one: &&Value| {
            let begin: DateTime<Utc> = one["at"].as_str().unwrap().parse().unwrap();
            (at..at + TimeDelta::minutes(15)).contains(&begin)
        };
        let parts: Vec<_> = fine.iter().filter(within).collect();
        let highest = parts.iter().map(|part| part["high"].as_f64().unwrap()).fold(f64::MIN, f64::max);
        assert_eq!((&point["open"], &point["close"]), (&parts[0]["open"], &parts[parts.len() - 1]["close"]));
        assert_eq!(point["high"], json!(highest));
    }
}

#[tokio::test]
async fn a_history_comes_as_arrays_on_wish() {
    let app = App::start();
    let user = app.user().await;
    let bitcoin = user.get(&format!("{COINS}/btc")).await.assert(200).json()["data"]["id"].as_i64().unwrap();
    let day = (app.clock.now() - TimeDelta::days(3)).date_naive().and_hms_opt(0, 0, 0).unwrap().and_utc();
    roll_up_hours(&app, bitcoin, day, 24, 3600);
    let read = async |query: &str| {
        user.get(&format!("{COINS}/btc/history?interval=1h{query}")).await.assert(200).json()
    };
    let (listed, arrays) = (read("").await, read("&format=arrays").await);
    for name in ["coin", "currency", "interval_seconds", "as_of", "attributions"] {
        assert_eq!(arrays[name], listed[name], "{name}");
    }
    assert_eq!((&arrays["s"], arrays.get("data")), (&"ok".into(), None), "{arrays}");
    let seconds: Vec<_> = points(&listed)
        .iter()
        .map(|point| point["at"].as_str().unwrap().parse::<DateTime<Utc>>().unwrap().timestamp())
        .collect();
    assert_eq!((arrays["t"].clone(), seconds.len()), (json!(seconds), 24));
    for (short, long) in [
        ("o", "open"),
        ("h", "high"),
        ("l", "low"),
        ("c", "close"),
        ("v", "volume_24h"),
        ("market_cap", "market_cap"),
        ("sentiment", "sentiment"),
        ("samples", "samples"),
        ("sources", "sources"),
    ] {
        let column: Vec<_> = points(&listed).iter().map(|point| point[long].clone()).collect();
        assert_eq!(arrays[short], Value::Array(column), "{short}");
    }
    let prices = read("&format=arrays&metric=price").await;
    assert!(prices.get("sentiment").is_none() && prices["c"] == arrays["c"] && prices["v"] == arrays["v"]);
    let mood = read("&format=arrays&metric=sentiment").await;
    assert!(mood.get("c").is_none() && mood.get("v").is_none() && mood["sentiment"].is_array(), "{mood}");
    let path = format!("{COINS}/eth/history?format=arrays");
    let none = user.get(&path).await.assert(200).json();
    assert_eq!((&none["s"], &none["t"], &none["c"]), (&"no_data".into(), &json!([]), &json!([])));
    user.get(&format!("{COINS}/btc/history?format=table")).await.assert_problem(400, "malformed-query");
}
