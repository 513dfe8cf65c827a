//! The coins that a user watches.

use futures_util::future::join_all;
use reqwest::Method;
use serde_json::Value;

use crate::support::{App, Client, Response, market::COINS};

const PATH: &str = "/api/v1/user/watchlist";

async fn put(client: &Client, coin: &str) -> Response {
    client.send(Method::PUT, &format!("{PATH}/{coin}"), |request| request).await
}

fn symbols(body: &Value) -> Vec<String> {
    body["data"].as_array().unwrap().iter().map(|coin| coin["symbol"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn watching_and_unwatching_a_coin_are_idempotent() {
    let app = App::start();
    let (user, other) = (app.user().await, app.user().await);
    let own = async |client: &Client| client.get(PATH).await.assert(200).json();
    let listed =
        async |client: &Client| client.get(&format!("{COINS}?watchlist=true")).await.assert(200).json();
    assert!(symbols(&own(&user).await).is_empty() && symbols(&listed(&user).await).is_empty());
    for coin in ["shib", "bitcoin", "SHIB", "1"] {
        put(&user, coin).await.assert(204);
    }
    assert_eq!(symbols(&own(&user).await), ["SHIB", "BTC"]);
    assert_eq!(symbols(&listed(&user).await), ["BTC", "SHIB"]);
    let one = user
        .get(&format!("{COINS}/sparse?watchlist=true&symbols=shib,eth&fields=price"))
        .await
        .assert(200)
        .json();
    assert_eq!(symbols(&one), ["SHIB"]);
    assert!(symbols(&own(&other).await).is_empty() && symbols(&listed(&other).await).is_empty());
    assert_eq!(symbols(&user.get(&format!("{COINS}?watchlist=false&limit=1")).await.json()), ["BTC"]);

    for _ in 0..2 {
        user.delete(&format!("{PATH}/shib")).await.assert(204);
    }
    assert_eq!(symbols(&own(&user).await), ["BTC"]);
    put(&user, "nope").await.assert_problem(404, "not-found");
    user.delete(&format!("{PATH}/nope")).await.assert_problem(404, "not-found");
    app.anyone().get(PATH).await.assert_problem(401, "missing-token");
}

#[tokio::test]
async fn a_watch_list_is_bounded_also_in_a_race() {
    let app = App::start();
    let user = app.user().await;
    diesel::RunQueryDsl::execute(
        diesel::sql_query(format!(
            "WITH more AS (INSERT INTO coins (symbol, name, slug, named_by) \
                 SELECT 'X' || n, 'X' || n, 'x-' || n, 'demo' FROM generate_series(1, 248) AS n RETURNING id) \
             INSERT INTO watchlist (user_id, coin_id, added_at) SELECT '{}', id, now() FROM more",
            user.id
        )),
        &mut app.sql(),
    )
    .unwrap();
    let coins = ["btc", "eth", "usdt", "bnb", "xrp", "sol"];
    let answers = join_all(coins.iter().map(|coin| put(&user, coin))).await;
    assert_eq!(answers.iter().filter(|answer| answer.status == 204).count(), 2);
    for refused in answers.into_iter().filter(|answer| answer.status != 204) {
        refused.assert_problem(409, "limit-reached");
    }
    assert_eq!(symbols(&user.get(PATH).await.json()).len(), 250);
    // A coin that is on the list may be added again.
    put(&user, "X1").await.assert(204);
    user.delete(&format!("{PATH}/x-1")).await.assert(204);
    put(&user, "shib").await.assert(204);
    put(&user, "hbar").await.assert_problem(409, "limit-reached");
}
