//! Rates of posts: one time for all coins, and what is said when a source is silent.

use std::time::Duration;

use diesel::connection::SimpleConnection;
use serde_json::{Value, json};

use crate::support::{
    App, Client, eventually,
    market::{COINS, app, until},
    noted::until_failed,
    social::{BITCOIN, coin, market, mastodon, minutes_ago, name_of, near, silent, status, timeline},
    upstream::{Reply, Upstream},
};

const ETHEREUM: &str = "/api/v1/timelines/tag/ethereum?";

/// Posts of the last few hours about a coin, each in other words.
fn posts(name: &str, from: u32, minutes: &[i64]) -> Vec<Value> {
    const VERBS: [&str; 8] = ["rises", "falls", "stays", "returns", "shines", "wobbles", "recovers", "rests"];
    const ENDS: [&str; 8] = [
        "on this fine morning",
        "after a long quiet week",
        "because people want it",
        "and nobody knows why",
        "as my brother said",
        "before the weekend starts",
        "while banks are closed",
        "in spite of the news",
    ];
    let text = |at: usize| format!("{name} {} {}", VERBS[at % 8], ENDS[at / 8 % 8]);
    let posts = (0u32..).zip(minutes).map(|(at, minutes)| {
        status(
            from - at,
            *minutes,
            &text(usize::try_from(at).expect("small") + usize::try_from(from).expect("small")),
        )
    });
    posts.collect()
}

/// Waits for a list in which this holds for bitcoin.
async fn list(client: &Client, wanted: impl Fn(&Value) -> bool) -> Value {
    until(client, COINS, |body| body["data"].as_array().is_some() && wanted(&body["data"][0]["social"])).await
}

fn broken() -> Reply {
    Reply::Http(503, "", Vec::new())
}

async fn log_in_again(app: &App, client: &Client) -> Client {
    app.login(&client.email).await
}

#[tokio::test]
async fn a_burst_of_days_ago_is_no_rate_of_now() {
    let (market, instance) = (market().await, silent().await);
    let days = 5 * 24 * 60;
    instance.say_at(
        ETHEREUM,
        timeline(&posts("ethereum", 900, &(0..39).map(|at| days + at / 3).collect::<Vec<_>>())),
    );
    instance.say_at(
        BITCOIN,
        timeline(&posts("bitcoin", 500, &(0..24).map(|at| at * 60 + 1).collect::<Vec<_>>())),
    );
    let app = app(&market, &mastodon(&instance));
    let user = app.user().await;
    let bitcoin = coin(&user, "BTC", |social| social["sample_size"] == 24).await;
    assert!(near(&bitcoin["posts_per_hour"], 1.0), "{bitcoin}");
    assert_eq!((&bitcoin["popularity"], &bitcoin["popularity_interval"]), (&1.0.into(), &Value::Null));
    let ethereum = coin(&user, "ETH", |social| social["sample_size"] == 39).await;
    assert_eq!(
        (&ethereum["posts_per_hour"], &ethereum["popularity"]),
        (&0.0.into(), &0.0.into()),
        "{ethereum}"
    );
    // SciPy: chi2.ppf(0.975, 2) / 2 / 24.
    assert!(near(&ethereum["posts_per_hour_interval"]["high"], 0.154), "{ethereum}");
    // SciPy: p = beta.ppf(0.975, 1, 24); p / (1 - p).
    assert!(near(&ethereum["popularity_interval"]["high"], 0.166), "{ethereum}");
    let minutes = |social: &Value| {
        let at =
            |name: &str| social[name].as_str().unwrap().parse::<chrono::DateTime<chrono::Utc>>().unwrap();
        (at("posts_to") - at("posts_from")).num_minutes()
    };
    // Apart from the moment between the reading and the end of its slot.
    assert!([&bitcoin, &ethereum].iter().all(|social| (1430..=1440).contains(&minutes(social))), "{bitcoin}");
}

#[tokio::test]
async fn an_instance_that_is_not_read_does_not_stop_the_rate_of_the_others() {
    let (market, good, bad) = (market().await, silent().await, silent().await);
    good.say_at(BITCOIN, timeline(&posts("bitcoin", 300, &[60, 120, 180])));
    let urls = format!("{},{}", good.url, bad.url);
    let app = app(&market, &[("SOCIAL_PROVIDERS", "mastodon"), ("MASTODON_URLS", &urls)]);
    let user = app.user().await;
    let before = coin(&user, "BTC", |social| social["sample_size"] == 3).await;
    assert!(near(&before["posts_per_hour"], 3.0 / 24.0), "{before}");
    bad.say_at("/", broken());
    until_failed(&app, &name_of(&bad), 1).await;
    app.clock.advance(Duration::from_mins(20));
    let fresh: Vec<i64> = (0..21).map(|at| -19 + at / 2).collect();
    good.say_at(BITCOIN, timeline(&posts("bitcoin", 340, &fresh)));
    let user = log_in_again(&app, &user).await;
    let after = coin(&user, "BTC", |social| social["sample_size"] == 24).await;
    assert!(near(&after["posts_per_hour"], 1.0), "{after}");
    let body = list(&user, |_| true).await;
    let (good, bad) = (name_of(&good), name_of(&bad));
    let state = |name: &str| {
        let sources = body["social_sources"].as_array().unwrap();
        sources.iter().find(|source| source["name"] == name).unwrap()["state"].clone()
    };
    assert_eq!((state(&good), state(&bad)), ("heard".into(), "silent".into()), "{}", body["social_sources"]);
    assert_eq!(after["stale"], false);
}

#[tokio::test]
async fn silence_is_stated_as_silence() {
    let (market, instance) = (market().await, silent().await);
    instance.say_at(BITCOIN, timeline(&posts("bitcoin", 300, &[60, 120, 180])));
    let app = app(&market, &mastodon(&instance));
    let user = app.user().await;
    let heard = list(&user, |social| social["sample_size"] == 3).await;
    let source = &heard["social_sources"][0];
    assert_eq!((&source["name"], &source["state"]), (&name_of(&instance).into(), &"heard".into()));
    assert!(source["last_heard_at"].is_string());
    assert_eq!(heard["data"][0]["social"]["stale"], false);
    instance.say_at("/", broken());
    until_failed(&app, &name_of(&instance), 1).await;
    app.clock.advance(Duration::from_hours(26));
    let user = log_in_again(&app, &user).await;
    let silent = list(&user, |social| social["missing"]["posts_per_hour"] == "not_heard").await;
    let social = &silent["data"][0]["social"];
    assert_eq!((&social["stale"], &social["sample_size"]), (&true.into(), &3.into()), "{social}");
    assert_eq!(
        (&social["posts_per_hour"], &social["popularity"], &social["missing"]["popularity"]),
        (&Value::Null, &Value::Null, &"not_heard".into())
    );
    assert_eq!(social["posts_from"], Value::Null);
    assert_eq!(silent["social_sources"][0]["state"], "silent");
    assert!(silent["social_sources"][0]["last_heard_at"].is_string());
    let one = user.get(&format!("{COINS}/BTC")).await.assert(200).json();
    assert_eq!(
        (&one["social_sources"][0]["state"], &one["data"]["social"]["stale"]),
        (&"silent".into(), &true.into())
    );
}

#[tokio::test]
async fn social_figures_become_stale_without_a_sync() {
    let (market, instance) = (market().await, silent().await);
    instance.say_at(BITCOIN, timeline(&posts("bitcoin", 300, &[60, 120, 180])));
    let first = app(&market, &mastodon(&instance));
    let user = first.user().await;
    list(&user, |social| social["sample_size"] == 3).await;
    instance.say_at("/", broken());
    until_failed(&first, &name_of(&instance), 1).await;
    // It shows what is stored, and its market never answers.
    let hanging = Upstream::start(vec![Reply::Silence]).await;
    let reader = first.replica_with(&[("COINMARKETCAP_URL", &hanging.url), ("UPSTREAM_TIMEOUT", "10s")]);
    drop(first);
    let user = user.on(&reader.base);
    let before = user.get(COINS).await.assert(200);
    assert_eq!(before.json()["data"][0]["social"]["stale"], false);
    reader.clock.advance(Duration::from_mins(16));
    let user = log_in_again(&reader, &user).await;
    let after = user.get(COINS).await.assert(200);
    assert_eq!(after.json()["data"][0]["social"]["stale"], true);
    assert_eq!(after.json()["social_sources"][0]["state"], "silent");
    assert_ne!(before.header("etag"), after.header("etag"));
    let sparse = user.get(&format!("{COINS}/sparse?fields=social.stale")).await.assert(200).json();
    assert_eq!(sparse["data"][0]["social"], json!({"stale": true}));
}

#[tokio::test]
async fn posts_and_authors_are_counted_by_hour_once() {
    let (market, one, two) = (market().await, silent().await, silent().await);
    let mut all = posts("bitcoin", 300, &[1, 2, 3, 200]);
    // The author of the newest one again.
    all[1]["account"]["url"] = all[0]["account"]["url"].clone();
    let hour = minutes_ago(0).timestamp() / 3600 * 3600;
    let at = |minutes: i64| chrono::DateTime::from_timestamp(hour - minutes * 60, 0).unwrap().to_rfc3339();
    for (post, minutes) in all.iter_mut().zip([70, 80, 90, 200]) {
        post["created_at"] = at(minutes).into();
    }
    one.say_at(BITCOIN, timeline(&all));
    two.say_at(BITCOIN, timeline(&all[1..]));
    let urls = format!("{},{}", one.url, two.url);
    let app = app(&market, &[("SOCIAL_PROVIDERS", "mastodon"), ("MASTODON_URLS", &urls)]);
    coin(&app.user().await, "BTC", |social| social["sample_size"] == 3).await;
    eventually("readings of both", async || {
        one.count_requests(BITCOIN) > 2 && two.count_requests(BITCOIN) > 2
    })
    .await;
    let hours = |column: &str| {
        let of = |hours: i64| {
            let at = chrono::DateTime::from_timestamp(hour - hours * 3600, 0).unwrap().to_rfc3339();
            app.count(&format!(
                "SELECT {column} AS count FROM social_hours WHERE source = 'mastodon' AND step_seconds = 3600 AND at = '{at}'"
            ))
        };
        (of(2), of(4))
    };
    assert_eq!((hours("posts"), hours("authors")), ((3, 1), (2, 1)));
}

#[tokio::test]
async fn hours_become_days_after_90_days() {
    let (market, instance) = (market().await, silent().await);
    instance.say_at(BITCOIN, timeline(&posts("bitcoin", 300, &[60])));
    let app = app(&market, &mastodon(&instance));
    coin(&app.user().await, "BTC", |social| social["sample_size"] == 1).await;
    let day = minutes_ago(0).date_naive() - chrono::TimeDelta::days(92);
    let insert = format!(
        "INSERT INTO social_hours (coin_id, source, step_seconds, at, posts, authors) \
         SELECT id, 'mastodon', 3600, timestamptz '{day} 00:00Z' + hour * interval '1 hour', 5, 3 \
         FROM coins, generate_series(0, 47) AS hour WHERE symbol = 'BTC'"
    );
    app.sql().batch_execute(&insert).unwrap();
    let days =
        "SELECT count(*) FROM social_hours WHERE step_seconds = 86400 AND posts = 120 AND authors = 72";
    eventually("two days", async || app.count(days) == 2).await;
    let old = format!(
        "SELECT count(*) FROM social_hours WHERE step_seconds = 3600 AND at < '{day} 00:00Z'::timestamptz + interval '2 days'"
    );
    assert_eq!(app.count(&old), 0);
    let kept = "SELECT count(*) FROM social_hours WHERE step_seconds = 3600 AND posts = 1";
    assert_eq!(app.count(kept), 1);
}
