//! What a user bought and sold, its value and its gains.

use chrono::{Days, TimeDelta};
use futures_util::future::join_all;
use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{App, Client, Response, market::COINS, points};

const PORTFOLIO: &str = "/api/v1/user/portfolio";
const TRANSACTIONS: &str = "/api/v1/user/portfolio/transactions";
const IMPORT: &str = "/api/v1/user/portfolio/import";

fn transaction(kind: &str, amount: &str, total: &str, day: &str) -> Value {
    json!({"coin": "bitcoin", "kind": kind, "amount": amount, "total": total, "day": day})
}

async fn record(user: &Client, body: &Value) -> Value {
    user.post(TRANSACTIONS, body).await.assert(201).json()
}

async fn put(user: &Client, id: &Value, body: &Value) -> Response {
    let path = format!("{TRANSACTIONS}/{}", id.as_str().unwrap());
    user.send(Method::PUT, &path, |request| request.json(body)).await
}

async fn import(user: &Client, query: &str, file: &str) -> Response {
    let file = file.to_owned();
    user.send(Method::POST, &format!("{IMPORT}{query}"), |request| {
        request.header("content-type", "text/csv").body(file)
    })
    .await
}

async fn portfolio(user: &Client) -> Value {
    user.get(PORTFOLIO).await.assert(200).json()
}

#[tokio::test]
async fn gains_are_exact_by_both_methods() {
    let app = App::start();
    let user = app.user().await;
    let empty = portfolio(&user).await;
    assert_eq!((&empty["value"], &empty["currency"]), (&json!("0"), &json!("GBP")));
    assert_eq!(empty["positions"], json!([]));

    record(&user, &transaction("buy", "1", "100", "2026-01-01")).await;
    record(&user, &transaction("buy", "1.000000000000000001", "200", "2026-01-02")).await;
    record(&user, &transaction("sell", "1", "250", "2026-01-03")).await;
    let body = portfolio(&user).await;
    let coin = &body["positions"][0];
    assert_eq!((&coin["slug"], &coin["amount"]), (&json!("bitcoin"), &json!("1.000000000000000001")));
    // The first purchase is sold first; on average half of 300 is sold.
    assert_eq!((&coin["fifo"]["cost"], &coin["fifo"]["realised"]), (&json!("200"), &json!("150")));
    assert_eq!(
        (&coin["average_cost"]["cost"], &coin["average_cost"]["realised"]),
        (&json!("150"), &json!("100"))
    );

    let price = user.get(&format!("{COINS}/btc")).await.assert(200).json()["data"]["price"].as_f64().unwrap();
    assert_eq!(coin["price"], json!(price.to_string()));
    let value: f64 = body["value"].as_str().unwrap().parse().unwrap();
    assert!((value - price).abs() < 1e-6, "{value}");
    let unrealised: f64 = body["fifo"]["unrealised"].as_str().unwrap().parse().unwrap();
    assert!((unrealised - (price - 200.0)).abs() < 1e-6);
    assert_eq!((&coin["share"], &body["unpriced"]), (&json!(1.0), &json!([])));
    assert_eq!(body["prices"]["source"], "demo");
    assert_eq!(portfolio(&app.user().await).await["positions"], json!([]), "of another user");
}

#[tokio::test]
async fn a_transaction_can_be_read_corrected_and_deleted() {
    let app = App::start();
    let (user, other) = (app.user().await, app.user().await);
    let created =
        user.post(TRANSACTIONS, &transaction("buy", "0.50", "20000.10", "2026-01-01")).await.assert(201);
    let mut one = created.json();
    assert!(created.header("location").ends_with(&format!("{TRANSACTIONS}/{}", one["id"].as_str().unwrap())));
    assert_eq!(
        (&one["amount"], &one["total"], &one["currency"]),
        (&json!("0.5"), &json!("20000.1"), &json!("GBP"))
    );
    let path = format!("{TRANSACTIONS}/{}", one["id"].as_str().unwrap());
    assert_eq!(user.get(&path).await.assert(200).json(), one);
    let eth = json!({"coin": "eth", "kind": "buy", "amount": "3", "total": "0", "day": "2026-01-02"});
    for refused in [other.get(&path).await, put(&other, &one["id"], &eth).await, other.delete(&path).await] {
        refused.assert_problem(404, "not-found");
    }
    let changed = put(&user, &one["id"], &eth).await.assert(200).json();
    assert_eq!((&changed["id"], &changed["created_at"]), (&one["id"], &one["created_at"]));
    one = user.get(&path).await.assert(200).json();
    assert_eq!((&one["amount"], &one["day"], one == changed), (&json!("3"), &json!("2026-01-02"), true));

    let newer = record(&user, &transaction("buy", "1", "1", "2026-01-01")).await;
    let page = user.get(&format!("{TRANSACTIONS}?limit=1")).await.assert(200).json();
    assert_eq!(page["data"], json!([newer]));
    let next = format!("{TRANSACTIONS}?limit=1&cursor={}", page["next_cursor"].as_str().unwrap());
    let page = user.get(&next).await.assert(200).json();
    assert_eq!((&page["data"], &page["next_cursor"]), (&json!([one]), &Value::Null));
    user.delete(&path).await.assert(204);
    user.delete(&path).await.assert_problem(404, "not-found");
}

#[tokio::test]
async fn what_is_wrong_with_a_transaction_is_named() {
    let app = App::start();
    let user = app.user().await;
    let day = |days: i64| (app.clock.now() + TimeDelta::days(days)).date_naive().to_string();
    let good = transaction("buy", "1", "1", &day(0));
    let cases = [
        ("amount", json!("0"), "range"),
        ("amount", json!("0.000"), "range"),
        ("amount", json!("-1"), "type"),
        ("amount", json!(0.5), "type"),
        ("amount", json!("1e3"), "type"),
        ("amount", json!("1e999999999"), "type"),
        ("amount", json!("1000000000000000000"), "type"),
        ("amount", json!("0.0000000000000000001"), "type"),
        ("total", json!("-0.01"), "type"),
        ("total", Value::Null, "type"),
        ("kind", json!("stake"), "type"),
        ("day", json!("2026-02-30"), "type"),
        ("day", json!("01/02/2026"), "type"),
        ("day", json!("2009-01-02"), "range"),
        ("day", json!(day(2)), "range"),
        ("coin", json!("no-such-coin"), "unknown"),
        ("coin", json!(""), "length"),
        ("currency", json!("USD"), "currency"),
        ("fee", json!("1"), "unknown-field"),
    ];
    for (field, value, code) in cases {
        let mut body = good.clone();
        body[field] = value;
        user.post(TRANSACTIONS, &body).await.assert_invalid(&format!("/{field}"), code);
    }
    record(&user, &good).await;
    assert_eq!(user.get(TRANSACTIONS).await.json()["data"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn no_more_can_be_sold_than_is_held_on_that_day() {
    let app = App::start();
    let user = app.user().await;
    let bought = record(&user, &transaction("buy", "1", "100", "2026-01-02")).await;
    let too_early = transaction("sell", "1", "100", "2026-01-01");
    user.post(TRANSACTIONS, &too_early).await.assert_problem(409, "holdings-exceeded");
    // Within a day purchases come first, in whatever order they are recorded.
    let sold = record(&user, &transaction("sell", "1", "100", "2026-01-02")).await;
    put(&user, &bought["id"], &transaction("buy", "0.999999999999999999", "1", "2026-01-02"))
        .await
        .assert_problem(409, "holdings-exceeded");
    let of_bought = format!("{TRANSACTIONS}/{}", bought["id"].as_str().unwrap());
    user.delete(&of_bought).await.assert_problem(409, "holdings-exceeded");
    assert_eq!(user.get(&of_bought).await.json(), bought, "nothing has changed");
    user.delete(&format!("{TRANSACTIONS}/{}", sold["id"].as_str().unwrap())).await.assert(204);

    let half = transaction("sell", "0.5", "100", "2026-01-03");
    let answers = join_all((0..6).map(|_| user.post(TRANSACTIONS, &half))).await;
    assert_eq!(answers.iter().filter(|answer| answer.status == 201).count(), 2);
    for refused in answers.into_iter().filter(|answer| answer.status != 201) {
        refused.assert_problem(409, "holdings-exceeded");
    }
    assert_eq!(portfolio(&user).await["positions"][0]["amount"], "0");
}

#[tokio::test]
async fn a_portfolio_has_one_currency() {
    let app = App::with(&[("COINS_PROVIDERS", "demo"), ("COINS_CURRENCIES", "GBP,USD")]);
    let user = app.user().await;
    let mut dollars = transaction("buy", "1", "100", "2026-01-02");
    dollars["currency"] = "usd".into();
    record(&user, &dollars).await;
    // Without a currency it is that of the others.
    let one = record(&user, &transaction("buy", "1", "100", "2026-01-03")).await;
    assert_eq!(one["currency"], "USD");
    let mut pounds = dollars.clone();
    pounds["currency"] = "GBP".into();
    user.post(TRANSACTIONS, &pounds).await.assert_invalid("/currency", "other-currency");
    let body = portfolio(&user).await;
    let dollars = user.get(&format!("{COINS}/btc?currency=USD")).await.json()["data"]["price"].clone();
    assert_eq!(
        (&body["currency"], &body["positions"][0]["price"]),
        (&json!("USD"), &json!(dollars.to_string()))
    );
}

#[tokio::test]
async fn an_export_can_be_imported_as_it_is_and_mistakes_have_their_line() {
    let app = App::start();
    let (user, other) = (app.user().await, app.user().await);
    let file = "\u{feff}kind;coin;day;amount;total\r\nbuy;BTC;2026-01-02;1.5;100.25\r\n\r\nsell;bitcoin;2026-01-02;0.5;60\r\nbuy;1;2025-12-31;0.000000000000000001;0\r\n";
    assert_eq!(import(&user, "", file).await.assert(201).json(), json!({"recorded": 3}));
    let table = user.get(&format!("{TRANSACTIONS}.csv")).await.assert(200);
    assert_eq!(table.header("content-type"), "text/csv; charset=utf-8; header=present");
    let table = table.text();
    assert_eq!(
        table,
        "day,kind,coin,symbol,amount,total,currency\r\n\
         2025-12-31,buy,1,BTC,0.000000000000000001,0,GBP\r\n\
         2026-01-02,buy,1,BTC,1.5,100.25,GBP\r\n2026-01-02,sell,1,BTC,0.5,60,GBP\r\n"
    );
    import(&other, "", &table).await.assert(201);
    import(&other, "?replace=true", &table).await.assert(201);
    assert_eq!(other.get(&format!("{TRANSACTIONS}.csv")).await.text(), table);

    let wrong = "day,kind,coin,amount,total,currency\n2026-01-02,buy,btc,1,1,GBP\nyesterday,buy,btc,1,1,\n\
        2026-01-02,hold,btc,1,1,\n2026-01-02,buy,nope,1,1,\n2026-01-02,buy,btc,=1,1,\n2026-01-02,buy,btc,0,1,\n\
        2026-01-02,buy,btc,1,,\n2026-01-02,buy,btc,1,1,XYZ\n2026-01-02,buy\n";
    let refused = import(&user, "", wrong).await.assert_problem(422, "validation-failed").json();
    let pointers: Vec<_> = refused["errors"]
        .as_array()
        .unwrap()
        .iter()
        .map(|error| error["pointer"].as_str().unwrap())
        .collect();
    assert_eq!(
        pointers,
        ["/3/day", "/4/kind", "/5/coin", "/6/amount", "/7/amount", "/8/total", "/9/currency", "/10"]
    );
    let oversold = "day,kind,coin,amount,total\n2026-01-02,sell,btc,100,1\n";
    import(&user, "", oversold).await.assert_problem(409, "holdings-exceeded");
    import(&user, "?replace=true", oversold).await.assert_problem(409, "holdings-exceeded");
    assert_eq!(user.get(&format!("{TRANSACTIONS}.csv")).await.text(), table, "nothing has changed");

    import(&user, "", "day,kind\n").await.assert_invalid("/1/coin", "required");
    user.post(IMPORT, &json!({})).await.assert_problem(415, "unsupported-media-type");
}

#[tokio::test]
async fn a_portfolio_is_bounded() {
    let app = App::start();
    let user = app.user().await;
    let line = "2026-01-02,buy,btc,1,1\n";
    let file = |lines: usize| format!("day,kind,coin,amount,total\n{}", line.repeat(lines));
    import(&user, "", &file(5001)).await.assert_problem(409, "limit-reached");
    import(&user, "", &file(5000)).await.assert(201);
    user.post(TRANSACTIONS, &transaction("buy", "1", "1", "2026-01-02"))
        .await
        .assert_problem(409, "limit-reached");
    import(&user, "", &file(1)).await.assert_problem(409, "limit-reached");
    let body = portfolio(&user).await;
    assert_eq!(body["positions"][0]["amount"], "5000");
}

#[tokio::test]
async fn the_value_over_time_uses_the_prices_of_each_day() {
    let app = App::start();
    let user = app.user().await;
    let bitcoin = user.get(&format!("{COINS}/btc")).await.json()["data"]["id"].as_i64().unwrap();
    let (now, today) = (app.clock.now(), app.clock.now().date_naive());
    let before = |days: u64| today.checked_sub_days(Days::new(days)).unwrap();
    for (days, price) in [(3, 100.0), (1, 300.5)] {
        points::insert(&app, bitcoin, now - TimeDelta::days(days), price, None);
    }
    record(&user, &transaction("buy", "2", "150", &before(4).to_string())).await;
    record(&user, &transaction("sell", "1", "90", &before(1).to_string())).await;
    let body = user.get(&format!("{PORTFOLIO}/history?from={}", before(10))).await.assert(200).json();
    let found: Vec<_> = body["data"]
        .as_array()
        .unwrap()
        .iter()
        .map(|point| (point["day"].clone(), point["value"].clone(), point["cost"].clone()))
        .collect();
    let day = |days: u64| json!(before(days).to_string());
    let expected = [
        (day(4), Value::Null, json!("150")),
        (day(3), json!("200"), json!("150")),
        (day(2), Value::Null, json!("150")),
        (day(1), json!("300.5"), json!("75")),
        (day(0), Value::Null, json!("75")),
    ];
    assert_eq!(found, expected);
    assert_eq!(body["data"][0]["unpriced"], json!([bitcoin]));

    let history = |query: String| async move { format!("{PORTFOLIO}/history?{query}") };
    for query in [
        format!("from={}", before(366)),
        format!("from={}&to={}", before(1), before(2)),
        "from=2999-01-01".into(),
    ] {
        user.get(&history(query).await).await.assert_invalid("/from", "range");
    }
    user.get(&history("from=tomorrow".into()).await).await.assert_problem(400, "malformed-query");
}
