//! The links in mails about alerts: to the coin, and to an end of the mails.

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{
    App, Client, ParsedMail, eventually,
    market::{COINS, Market, SYNC, changed, from},
};

const PATH: &str = "/api/v1/user/alerts";
const END: &str = "/api/v1/alerts/end";

/// A user with alerts on these prices of bitcoin, and the mail about all of them.
async fn crossed(settings: &[(&str, &str)], thresholds: &[u32]) -> (App, Market, Client, ParsedMail) {
    let market = Market::start().await;
    let app = market.app("coingecko", settings);
    let admin = app.admin().await;
    from(&admin, "coingecko").await;
    let user = app.confirmed_user().await;
    for threshold in thresholds {
        let body = json!({"coin": "btc", "metric": "price", "direction": "above", "threshold": threshold});
        user.post(PATH, &body).await.assert(201);
    }
    market
        .coingecko
        .say(vec![changed("coingecko_markets_gbp", |coins| coins[0]["current_price"] = 99_000.into())]);
    admin.post_empty(SYNC).await.assert(202);
    eventually("the price", async || {
        admin.get(&format!("{COINS}/btc")).await.json()["data"]["price"].as_f64() == Some(99_000.0)
    })
    .await;
    let mail = app.mail_to(&user.email).await;
    (app, market, user, mail)
}

fn token(mail: &ParsedMail) -> String {
    let (_, rest) = mail.text.split_once("/end-alerts#token=").expect("a link");
    rest.split_whitespace().next().expect("a token").to_owned()
}

async fn count(user: &Client) -> usize {
    user.get(PATH).await.assert(200).json()["data"].as_array().unwrap().len()
}

#[tokio::test]
async fn a_mail_leads_to_the_coin_and_its_link_deletes_the_alert() {
    let settings = [("COIN_URL", "https://shop.example/c/{slug}")];
    let (app, _market, user, mail) = crossed(&settings, &[75_000]).await;
    assert_eq!(mail.link(), "https://shop.example/c/bitcoin");
    assert!(mail.text.contains("Open Bitcoin:"), "{}", mail.text);
    let other = json!({"coin": "eth", "metric": "price", "direction": "above", "threshold": 99_999});
    user.post(PATH, &other).await.assert(201);

    let anyone = app.anyone();
    let page = anyone.get("/end-alerts").await.assert(200);
    assert!(page.text().contains("api/v1/alerts/end"), "{}", page.text());
    assert_eq!(count(&user).await, 2, "opening the page deletes nothing");
    let token = token(&mail);
    let cut: String = token.chars().take(43).collect();
    for wrong in ["", "A", &cut, &format!("AAAA{token}"), &format!("{token}AAAA")] {
        anyone.post(END, &json!({"token": wrong})).await.assert_problem(422, "invalid-code");
    }
    anyone.post(END, &json!({"token": "A".repeat(577)})).await.assert_invalid("/token", "length");
    assert_eq!(count(&user).await, 2);
    for _ in 0..2 {
        anyone.post(END, &json!({"token": token})).await.assert(204);
        let left = user.get(PATH).await.json();
        assert_eq!(left["data"].as_array().unwrap().len(), 1);
        assert_eq!(left["data"][0]["threshold"], 99_999.0);
    }
}

#[tokio::test]
async fn a_mail_program_deletes_the_alerts_with_one_click() {
    let (app, _market, user, mail) = crossed(&[], &[75_000, 80_000]).await;
    assert!(mail.text.contains("the link below deletes them all"), "{}", mail.text);
    let (base, path) = mail.unsubscribe.split_once("/end-alerts").expect("an address");
    assert_eq!(base, "http://mintage.test");
    let path = format!("/end-alerts{path}");
    let anyone = app.anyone();
    anyone.get(&path).await.assert(200);
    assert_eq!(count(&user).await, 2, "a GET deletes nothing");
    let press = async |path: &str| {
        let build = |request: reqwest::RequestBuilder| {
            request
                .header("content-type", "application/x-www-form-urlencoded")
                .body("List-Unsubscribe=One-Click")
        };
        anyone.send(Method::POST, path, build).await
    };
    press("/end-alerts").await.assert_problem(400, "malformed-query");
    press("/end-alerts?token=AAAA").await.assert_problem(422, "invalid-code");
    assert_eq!(count(&user).await, 2);
    press(&path).await.assert(204);
    assert_eq!(count(&user).await, 0);
    press(&path).await.assert(204);
}

#[tokio::test]
async fn more_alerts_than_a_link_can_end_are_reported_in_several_mails() {
    let thresholds: Vec<u32> = (0..30).map(|n| 75_000 + n).collect();
    let (app, _market, user, first) = crossed(&[], &thresholds).await;
    let second = app.mail_to(&user.email).await;
    let anyone = app.anyone();
    for (mail, name, left) in
        [(first, "25 alerts reached: Bitcoin", 5), (second, "5 alerts reached: Bitcoin", 0)]
    {
        assert_eq!(mail.subject, name);
        anyone.post(END, &json!({"token": token(&mail)})).await.assert(204);
        assert_eq!(count(&user).await, left);
    }
    assert_eq!(user.get(PATH).await.json()["data"], Value::Array(Vec::new()));
}
