//! Reading sources, and the social figures of coins.

use std::time::Duration;

use chrono::DateTime;
use diesel::connection::SimpleConnection;
use serde_json::{Value, json};

use crate::support::{
    App, eventually,
    market::{COINS, app},
    noted::{until_failed, until_succeeded},
    social::{BITCOIN, coin, market, mastodon, name_of, near, remark, silent, status, timeline},
    upstream::{Reply, Upstream, fixture},
};

const ETHEREUM: &str = "/api/v1/timelines/tag/ethereum?";

#[tokio::test]
async fn social_figures_stand_beside_market_data() {
    let (market, instance) = (market().await, silent().await);
    let spanish = json!({"language": "es", "content": "<p>Bitcoin cae</p>"});
    let mut foreign = status(9, 3, "");
    foreign.as_object_mut().unwrap().extend(spanish.as_object().unwrap().clone());
    let mut bot = status(8, 4, "Bitcoin price: great");
    bot["account"]["bot"] = true.into();
    instance.say_at(
        BITCOIN,
        timeline(&[
            foreign,
            bot,
            status(5, 5, "i LOVE bitcoin &amp; its  network!!! 🚀 #btc"),
            status(4, 70, "Bitcoin is NOT a scam"),
            status(3, 130, "bitcoin fees are terrible"),
            status(2, 200, "bitcoin"),
            status(1, 260, "I love <b>Bitcoin</b> &amp; its network!!!"),
        ]),
    );
    instance.say_at(ETHEREUM, timeline(&[status(7, 10, "ethereum is fine"), status(6, 90, "ethereum")]));
    let app = app(&market, &mastodon(&instance));
    let user = app.user().await;
    let bitcoin = coin(&user, "BTC", |social| social["sample_size"] == 4).await;
    // The mean of the scores of the reference implementation.
    let wanted = (0.7249 + 0.4585 - 0.4767 + 0.0) / 4.0;
    assert!(near(&bitcoin["sentiment"], wanted), "{bitcoin}");
    let time = |name: &str| DateTime::parse_from_rfc3339(bitcoin[name].as_str().unwrap()).unwrap();
    let span = time("sample_to") - time("sample_from");
    assert!((span.num_seconds() - 190 * 60).abs() < 60, "{bitcoin}");
    assert_eq!(bitcoin["authors"], 4);
    assert_eq!(bitcoin["dropped"], json!({"language": 1, "duplicate": 1, "author": 0, "tags": 0}));
    assert_eq!((&bitcoin["interval"], &bitcoin["effective_sample_size"]), (&Value::Null, &4.0.into()));
    assert_eq!(bitcoin["shares"], json!({"positive": 0.5, "neutral": 0.25, "negative": 0.25}));
    assert_eq!(bitcoin["confidence"], "none");
    assert_eq!(bitcoin["sources"], json!(["mastodon"]));
    assert!(near(&bitcoin["posts_per_hour"], 4.0 / 24.0), "{bitcoin}");
    assert!(near(&bitcoin["popularity"], 1.0));
    let few = json!({"interval": "too_few_posts", "sentiment_crypto_interval": "too_few_posts"});
    assert_eq!(bitcoin["missing"], few);
    let ethereum = coin(&user, "ETH", |social| social["sample_size"] == 2).await;
    assert!(near(&ethereum["popularity"], 0.5), "{ethereum}");
    let silent = coin(&user, "ADA", |social| social["sample_size"] == 0).await;
    assert_eq!((&silent["sentiment"], &silent["popularity"]), (&Value::Null, &0.0.into()));
    let missing = ["sentiment", "interval", "sentiment_crypto", "sentiment_crypto_interval"];
    let missing: Value = missing.iter().map(|name| ((*name).to_owned(), json!("too_few_posts"))).collect();
    assert_eq!(silent["missing"], missing);
    let one = user.get(&format!("{COINS}/btc")).await.assert(200).json();
    assert_eq!(one["data"]["social"]["sample_size"], 4);
    let history = "SELECT count(*) FROM coin_quotes WHERE sentiment IS NOT NULL AND popularity IS NOT NULL";
    assert!(app.count(history) > 0);
}

#[tokio::test]
async fn posts_in_the_language_of_markets_have_a_second_sentiment() {
    let (market, instance) = (market().await, silent().await);
    instance.say_at(
        BITCOIN,
        timeline(&[
            status(3, 5, "bitcoin to the moon"),
            status(2, 70, "bitcoin got rugged"),
            status(1, 130, "the mining difficulty of bitcoin"),
        ]),
    );
    let app = app(&market, &mastodon(&instance));
    let bitcoin = coin(&app.user().await, "BTC", |social| social["sample_size"] == 3).await;
    assert!(near(&bitcoin["sentiment"], -0.34 / 3.0), "{bitcoin}");
    assert!(near(&bitcoin["sentiment_crypto"], (0.6124 - 0.5859 + 0.0) / 3.0), "{bitcoin}");
    assert_eq!(bitcoin["lexicon"], "crypto-1");
    assert_eq!(bitcoin["coverage"], json!({"sentiment": 0.3333, "sentiment_crypto": 0.6667}));
    assert_eq!(bitcoin["sentiment_crypto_interval"], Value::Null);
    assert_eq!(bitcoin["missing"]["sentiment_crypto_interval"], "too_few_posts");
}

#[tokio::test]
async fn a_sentence_with_a_counter_is_one_post_and_a_list_of_coins_none() {
    let (market, instance) = (market().await, silent().await);
    let mut posts = vec![status(200, 1, "$BTC $ETH $XRP $SOL $ADA $DOGE look great, bitcoin")];
    posts.extend((1..=105).rev().map(|number| {
        status(number, i64::from(110 - number), &format!("Bitcoin is the best thing of all {number}"))
    }));
    instance.say_at(BITCOIN, timeline(&posts));
    let app = app(&market, &mastodon(&instance));
    let bitcoin = coin(&app.user().await, "BTC", |social| !social.is_null()).await;
    assert_eq!((&bitcoin["sample_size"], &bitcoin["authors"]), (&1.into(), &1.into()), "{bitcoin}");
    assert_eq!(bitcoin["dropped"], json!({"language": 0, "duplicate": 104, "author": 0, "tags": 1}));
    assert_eq!(bitcoin["confidence"], "none");
}

#[tokio::test]
async fn an_interval_counts_people_and_conversations_instead_of_posts() {
    let (market, instance) = (market().await, silent().await);
    let words = ["I love bitcoin", "bitcoin", "bitcoin is great", "I hate bitcoin"];
    let post = |number: u32| {
        status(number, i64::from(100 - number) * 65, &remark(number, words[number as usize % words.len()]))
    };
    let mut posts: Vec<Value> = (1..=12).rev().map(post).collect();
    instance.say_at(BITCOIN, timeline(&posts));
    // The same posts, all answers to one.
    for post in &mut posts {
        post["in_reply_to_id"] = "117648100000000000".into();
    }
    instance.say_at(ETHEREUM, timeline(&posts));
    let app = app(&market, &mastodon(&instance));
    let user = app.user().await;
    let bitcoin = coin(&user, "BTC", |social| social["sample_size"] == 12).await;
    let interval = &bitcoin["interval"];
    assert!(interval["low"].as_f64() < bitcoin["sentiment"].as_f64(), "{bitcoin}");
    assert!(interval["high"].as_f64() > bitcoin["sentiment"].as_f64(), "{bitcoin}");
    assert!(bitcoin["effective_sample_size"].as_f64() > Some(4.0), "{bitcoin}");
    let ethereum = coin(&user, "ETH", |social| social["sample_size"] == 12).await;
    assert_eq!((&ethereum["interval"], &ethereum["confidence"]), (&Value::Null, &"none".into()));
    assert_eq!(ethereum["effective_sample_size"], 1.0);
    assert_eq!(ethereum["missing"]["interval"], "too_few_posts");
}

#[tokio::test]
async fn social_figures_that_are_8_days_old_are_not_shown() {
    let (market, instance) = (market().await, silent().await);
    instance.say_at(BITCOIN, timeline(&[status(1, 1, "I love bitcoin")]));
    let app = app(&market, &mastodon(&instance));
    let user = app.user().await;
    coin(&user, "BTC", |social| social["sample_size"] == 1).await;
    // From here on no source is read.
    let reader = app.replica_with(&[("COINS_SYNC_INTERVAL", "1d"), ("SOCIAL_PROVIDERS", "none")]);
    drop(app);
    let user = user.on(&reader.base);
    coin(&user, "BTC", |social| social["sample_size"] == 1).await;
    let ago = "UPDATE coin_social SET as_of = (SELECT max(as_of) FROM coin_snapshots) - interval '8 days'; \
               NOTIFY mintage_coins";
    reader.sql().batch_execute(ago).unwrap();
    coin(&user, "BTC", Value::is_null).await;
}

#[tokio::test]
async fn the_next_reading_requests_only_new_posts_and_counts_none_twice() {
    let (market, instance) = (market().await, silent().await);
    instance.say_at(BITCOIN, timeline(&[status(2, 1, "bitcoin is great"), status(1, 2, "bitcoin is bad")]));
    let app = app(&market, &mastodon(&instance));
    eventually("three readings", async || instance.count_requests(BITCOIN) >= 3).await;
    let requests = instance.requests();
    let of_bitcoin: Vec<_> =
        requests.iter().filter(|head| head.starts_with(&format!("GET {BITCOIN}"))).collect();
    assert!(
        !of_bitcoin[0].contains("since_id") && of_bitcoin[0].contains("any%5B%5D=btc"),
        "{}",
        of_bitcoin[0]
    );
    assert!(
        of_bitcoin[1].contains("limit=40&any%5B%5D=btc&since_id=117648100000000002"),
        "{}",
        of_bitcoin[1]
    );
    assert_eq!(app.count("SELECT count(*) FROM social_posts"), 2);
    instance.say_at(BITCOIN, timeline(&[status(3, 0, "bitcoin is wonderful")]));
    coin(&app.user().await, "BTC", |social| social["sample_size"] == 3).await;
}

#[tokio::test]
async fn pages_are_read_back_up_to_a_bound_and_a_hundred_posts_count() {
    let (market, instance) = (market().await, silent().await);
    let page = |from: u32| {
        let posts = (0..40)
            .map(|one| status(from - one, (5000 - from + one).into(), &remark(5000 - from + one, "bitcoin")));
        timeline(&posts.collect::<Vec<_>>())
    };
    // The path that was added last is tried first.
    instance.say_at(BITCOIN, page(5000));
    instance
        .say_at("/api/v1/timelines/tag/bitcoin?limit=40&any%5B%5D=btc&max_id=117648100000004961", page(4960));
    instance
        .say_at("/api/v1/timelines/tag/bitcoin?limit=40&any%5B%5D=btc&max_id=117648100000004921", page(4920));
    let app = app(&market, &mastodon(&instance));
    let bitcoin = coin(&app.user().await, "BTC", |social| social["sample_size"] == 100).await;
    assert_eq!(bitcoin["confidence"], "high");
    let rate = bitcoin["posts_per_hour"].as_f64().unwrap();
    assert!((rate - 60.0).abs() < 1.0, "{bitcoin}");
    assert_eq!(app.count("SELECT count(*) FROM social_posts"), 120, "all are recognised");
}

#[tokio::test]
async fn a_failing_instance_does_not_affect_the_others() {
    let (market, good, bad) =
        (market().await, silent().await, Upstream::start(vec![fixture(500, "cmc_error_500")]).await);
    let shared = status(1, 5, "bitcoin is great");
    good.say_at(BITCOIN, timeline(std::slice::from_ref(&shared)));
    let other = silent().await;
    other.say_at(BITCOIN, timeline(&[status(2, 6, "bitcoin is fine"), shared]));
    let urls = format!("{},{},{}", bad.url, good.url, other.url);
    let app = app(&market, &[("SOCIAL_PROVIDERS", "mastodon"), ("MASTODON_URLS", &urls)]);
    let bitcoin = coin(&app.user().await, "BTC", |social| social["sample_size"] == 2).await;
    assert_eq!(bitcoin["sources"], json!(["mastodon"]));
    let requested = bad.requests().len();
    eventually("more readings", async || good.count_requests(BITCOIN) > 5).await;
    assert!(bad.requests().len() <= requested + 3, "no request is sent for a while");
}

#[tokio::test]
async fn a_failing_source_affects_neither_the_market_nor_the_last_figures() {
    let (market, instance) = (market().await, silent().await);
    let good = timeline(&[status(1, 5, "bitcoin is great")]);
    instance.say_at(BITCOIN, good.clone());
    // One of the answers never comes.
    let mut settings = mastodon(&instance).to_vec();
    settings.push(("UPSTREAM_TIMEOUT", "3s"));
    let app = app(&market, &settings);
    let mut user = app.user().await;
    let before = coin(&user, "BTC", |social| social["sample_size"] == 1).await;
    let json = |text: &str| Reply::Http(200, "", text.as_bytes().to_vec());
    for reply in [
        Reply::Http(500, "", Vec::new()),
        Reply::Http(429, "x-ratelimit-reset: 2000-01-01T00:00:00Z\r\n", b"{}".to_vec()),
        Reply::Http(302, "location: http://127.0.0.1:1/\r\n", Vec::new()),
        Reply::Raw("content-type: text/html\r\n", b"<html>hello</html>".to_vec()),
        Reply::Truncated(b"[{".to_vec()),
        Reply::Silence,
        Reply::Raw("content-type: application/json\r\n", vec![b'['; 9 * 1024 * 1024]),
        json(r#"{"error":"This method requires an authenticated user"}"#),
        json("[1,2,3]"),
        json("[{}]"),
        json("null"),
        json("\u{0}"),
    ] {
        instance.say_at("/", reply);
        until_failed(&app, &name_of(&instance), 1).await;
        let synced = market.requests().len();
        eventually("two syncs", async || market.requests().len() > synced + 1).await;
        let social = coin(&user, "BTC", |_| true).await;
        for name in ["sentiment", "sample_size", "sources"] {
            assert_eq!(social[name], before[name], "{name}");
        }
        instance.say_at("/", timeline(&[]));
        instance.say_at(BITCOIN, good.clone());
        app.clock.advance(Duration::from_hours(1));
        user.refresh().await.assert(200);
        until_succeeded(&app, &name_of(&instance)).await;
    }
    let odd = status(3, 1, "bitcoin \u{0} \u{202e} <script>alert(1)</script> is &#0; fine");
    let mut without = status(2, 1, "");
    without["account"] = Value::Null;
    instance.say_at("/", timeline(&[odd, without]));
    coin(&user, "BTC", |social| social["sample_size"] == 2).await;
}

#[tokio::test]
async fn without_sources_a_coin_has_no_social_figures() {
    let app = App::start();
    assert_eq!(coin(&app.user().await, "BTC", |_| true).await, Value::Null);
}

#[tokio::test]
async fn an_admin_sees_the_state_of_every_source() {
    let (market, instance, bad) =
        (market().await, silent().await, Upstream::start(vec![Reply::Http(503, "", Vec::new())]).await);
    let urls = format!("{},{}", instance.url, bad.url);
    let app = app(
        &market,
        &[
            ("SOCIAL_PROVIDERS", "mastodon,bluesky"),
            ("MASTODON_URLS", &urls),
            ("BLUESKY_URL", "ws://127.0.0.1:1"),
        ],
    );
    let admin = app.admin().await;
    let mut social = Value::Null;
    eventually("one success and two failures", async || {
        social = admin.get("/api/v1/admin/sync").await.assert(200).json()["social"].clone();
        social[0]["last_success_at"].is_string()
            && social[1]["last_error"].is_string()
            && social[2]["last_error"].is_string()
    })
    .await;
    assert_eq!(social[0]["name"], name_of(&instance));
    assert_eq!((&social[1]["name"], &social[1]["state"]), (&name_of(&bad).into(), &"waiting".into()));
    assert_eq!(
        (&social[2]["name"], &social[2]["last_error"]),
        (&"bluesky".into(), &"cannot be reached".into())
    );
}

#[tokio::test]
async fn no_text_and_no_author_is_kept() {
    let (market, instance) = (market().await, silent().await);
    instance.say_at(BITCOIN, timeline(&[status(1, 5, "bitcoin is xyzzy great")]));
    let app = app(&market, &mastodon(&instance));
    coin(&app.user().await, "BTC", |social| social["sample_size"] == 1).await;
    let tables = ["social_posts", "social_cursors", "coin_social", "provider_state", "social_streams"];
    for table in tables {
        let query = format!(
            "SELECT count(*) FROM {table} t WHERE t::text ILIKE '%xyzzy%' OR t::text LIKE '%mastodon.example%'"
        );
        assert_eq!(app.count(&query), 0, "{table}");
    }
}
