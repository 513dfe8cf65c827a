//! The coins that posts are searched for, and the words of the searches.

use std::sync::Arc;

use serde_json::{Value, json};
use tokio::sync::Semaphore;

use crate::support::{
    eventually,
    market::{app, changed},
    social::{Jetstream, SEARCH, coin, market, mastodon, silent, status, timeline, x},
    upstream::{Reply, Upstream, fixture},
};

/// The market with only these coins.
fn only(symbols: &[&str], rename: impl Fn(&mut Value)) -> Reply {
    changed("cmc_v3_listings_latest_gbp", |body| {
        let coins = body["data"].as_array_mut().unwrap();
        coins.retain(|coin| symbols.contains(&coin["symbol"].as_str().unwrap()));
        coins.iter_mut().for_each(rename);
    })
}

fn renamed(coin: &mut Value, symbol: &str, new: (&str, &str, &str)) {
    if coin["symbol"] == symbol {
        let (symbol, name, slug) = new;
        coin["id"] = 987_654.into();
        (coin["symbol"], coin["name"], coin["slug"]) = (symbol.into(), name.into(), slug.into());
    }
}

#[tokio::test]
async fn no_posts_are_searched_before_there_are_real_coins() {
    let permits = Arc::new(Semaphore::new(0));
    let Reply::Http(_, _, body) = only(&["BTC"], |_| {}) else { panic!("it has a body") };
    let market = Upstream::start(vec![Reply::Held(permits.clone(), body)]).await;
    let x_server = Upstream::start(vec![fixture(200, "x_search_recent_empty")]).await;
    let settings = [x(&x_server, "1000000").as_slice(), &[("COINS_COUNT", "1")]].concat();
    let app = app(&market, &settings);
    eventually("a request for the market", async || !market.requests().is_empty()).await;
    permits.add_permits(100);
    coin(&app.user().await, "BTC", Value::is_object).await;
    eventually("two searches", async || x_server.count_requests(SEARCH) >= 2).await;
    let requests = x_server.requests();
    assert!(requests.iter().all(|head| head.contains("bitcoin")), "{requests:?}");
}

#[tokio::test]
async fn a_stream_takes_up_the_coins_of_the_first_snapshot() {
    let permits = Arc::new(Semaphore::new(0));
    let zebra = ("ZBR", "Zebraswap", "zebraswap");
    let Reply::Http(_, _, body) = only(&["BTC", "XLM"], |coin| renamed(coin, "XLM", zebra)) else {
        panic!("it has a body")
    };
    let market = Upstream::start(vec![Reply::Held(permits.clone(), body)]).await;
    let stream = Jetstream::start().await;
    let settings =
        [("SOCIAL_PROVIDERS", "bluesky"), ("BLUESKY_URL", stream.url.as_str()), ("COINS_COUNT", "2")];
    let app = app(&market, &settings);
    eventually("a request for the market", async || !market.requests().is_empty()).await;
    permits.add_permits(1000);
    eventually("a listener", async || stream.listeners() == 1).await;
    stream.say(1, "buying more #zebraswap today");
    let zebra = coin(&app.user().await, "ZBR", |social| social["sample_size"] == 1).await;
    assert_eq!(zebra["sources"], json!(["bluesky"]));
}

#[tokio::test]
async fn an_unknown_coin_is_searched_by_its_tags_and_counts_next_to_a_word_about_coins() {
    let market = Upstream::start(vec![only(&["BTC", "XLM"], |coin| {
        renamed(coin, "XLM", ("WDG", "Widget", "widget"));
    })])
    .await;
    let instance = silent().await;
    instance.say_at(
        "/api/v1/timelines/tag/widget?",
        timeline(&[
            status(4, 60, "the #widget token is a fine thing"),
            status(3, 120, "my new desktop #widget shows the time"),
            status(2, 180, "#wdg is the best altcoin of the year"),
            status(1, 240, "I hold $WDG, and more of it every day #widget"),
        ]),
    );
    let app = app(&market, &[mastodon(&instance).as_slice(), &[("COINS_COUNT", "2")]].concat());
    let user = app.user().await;
    let widget = coin(&user, "WDG", |social| social["sample_size"] == 3).await;
    assert_eq!(widget["query"], json!(["#widget", "#wdg"]));
    assert_eq!(widget["posts_per_hour"], 0.125, "{widget}");
    let request = instance.requests().into_iter().find(|head| head.contains("/tag/widget?")).unwrap();
    assert!(request.contains("any%5B%5D=wdg"), "{request}");
}

#[tokio::test]
async fn a_coin_that_no_source_can_search_has_no_rate() {
    let market = Upstream::start(vec![only(&["BTC", "XLM"], |coin| {
        renamed(coin, "XLM", ("1", "42", "forty-two"));
    })])
    .await;
    let instance = silent().await;
    let app = app(&market, &[mastodon(&instance).as_slice(), &[("COINS_COUNT", "2")]].concat());
    let odd = coin(&app.user().await, "1", Value::is_object).await;
    let reasons = json!({
        "sentiment": "not_looked_for", "interval": "not_looked_for",
        "sentiment_crypto": "not_looked_for", "sentiment_crypto_interval": "not_looked_for",
        "posts_per_hour": "not_looked_for", "popularity": "not_looked_for"
    });
    assert_eq!((&odd["missing"], &odd["query"]), (&reasons, &json!([])));
    assert_eq!((&odd["posts_per_hour"], &odd["popularity"]), (&Value::Null, &Value::Null));
    assert_eq!(odd["stale"], false);
}

#[tokio::test]
async fn no_query_names_a_tag_twice() {
    let (market, x_server) =
        (market().await, Upstream::start(vec![fixture(200, "x_search_recent_empty")]).await);
    let _app = app(&market, &x(&x_server, "1000000"));
    eventually("a search for every coin", async || x_server.count_requests(SEARCH) >= 20).await;
    for head in x_server.requests() {
        let query = head.split("query=").nth(1).unwrap_or_default();
        let query = query.split(['&', ' ']).next().unwrap_or_default().to_lowercase();
        let mut parts: Vec<_> =
            query.split("+or+").map(|part| part.trim_matches(|c| "%28()".contains(c)).to_owned()).collect();
        let all = parts.len();
        parts.sort_unstable();
        parts.dedup();
        assert_eq!(parts.len(), all, "{query}");
    }
}
