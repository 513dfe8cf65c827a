//! `GET /coins/trending`: which coins have more posts than usual.

use chrono::{DateTime, DurationRound, TimeDelta, Utc};
use diesel::connection::SimpleConnection;
use serde_json::{Value, json};

use crate::support::{App, Client, market::until};

const PATH: &str = "/api/v1/coins/trending";

fn close(value: &Value, wanted: f64) -> bool {
    value.as_f64().is_some_and(|value| (value - wanted).abs() < wanted.abs() * 0.005)
}

/// Records that a source has covered a coin since so many hours before `to`.
fn cover(app: &App, source: &str, symbol: &str, to: DateTime<Utc>, hours: i64, until: DateTime<Utc>) {
    let since = to - TimeDelta::hours(hours);
    let insert = format!(
        "INSERT INTO social_cursors (source, coin_id, covered_since, covered_until) \
         SELECT '{source}', id, '{since}', '{until}' FROM coins WHERE symbol = '{symbol}'"
    );
    app.sql().batch_execute(&insert).unwrap();
}

/// Adds so many posts and authors in each of these hours before `to`.
fn posts(
    app: &App,
    source: &str,
    symbol: &str,
    to: DateTime<Utc>,
    hours: std::ops::Range<i64>,
    posts: i64,
    authors: i64,
) {
    let insert = format!(
        "INSERT INTO social_hours (coin_id, source, step_seconds, at, posts, authors) \
         SELECT id, '{source}', 3600, timestamptz '{to}' - ago * interval '1 hour', {posts}, {authors} \
         FROM coins, generate_series({}, {}) AS ago WHERE symbol = '{symbol}'",
        hours.start,
        hours.end - 1
    );
    app.sql().batch_execute(&insert).unwrap();
}

async fn trending(user: &Client, query: &str) -> Value {
    user.get(&format!("{PATH}{query}")).await.assert(200).json()
}

#[tokio::test]
async fn coins_are_compared_with_the_days_before_over_the_time_that_is_covered() {
    let app = App::start();
    let user = app.user().await;
    assert_eq!(trending(&user, "").await["data"], json!([]), "no source is read");
    let now = app.clock.now();
    let to = (now - TimeDelta::minutes(15)).duration_trunc(TimeDelta::hours(1)).unwrap();
    // Twice as many in the day as in each of the seven days before.
    cover(&app, "mastodon:a.example", "BTC", to, 8 * 24 + 5, now);
    posts(&app, "mastodon", "BTC", to, 1..25, 10, 2);
    posts(&app, "mastodon", "BTC", to, 25..193, 5, 1);
    // Before the week, and after the hour.
    posts(&app, "mastodon", "BTC", to, 193..196, 500, 500);
    posts(&app, "mastodon", "BTC", to, 0..1, 500, 500);
    // 5 against 48 of four days: the hours before these four days are not covered.
    cover(&app, "mastodon:a.example", "ETH", to, 5 * 24, now);
    posts(&app, "mastodon", "ETH", to, 1..6, 1, 1);
    posts(&app, "mastodon", "ETH", to, 30..78, 1, 1);
    posts(&app, "mastodon", "ETH", to, 121..140, 9, 9);
    // A source that was added a day ago tells nothing, and one that is not read any more neither.
    cover(&app, "mastodon:a.example", "DOGE", to, 30, now);
    posts(&app, "mastodon", "DOGE", to, 1..25, 9, 9);
    cover(&app, "bluesky", "XRP", to, 8 * 24, to - TimeDelta::hours(3));
    posts(&app, "bluesky", "XRP", to, 1..25, 9, 9);
    app.sql().batch_execute("NOTIFY mintage_coins").unwrap();

    let found = until(&user, PATH, |body| !body["data"].as_array().unwrap().is_empty()).await;
    let time = |name: &str| found[name].as_str().unwrap().parse::<DateTime<Utc>>().unwrap();
    assert_eq!((time("from"), time("to")), (to - TimeDelta::hours(24), to));
    let coins = found["data"].as_array().unwrap();
    let symbols: Vec<_> = coins.iter().map(|coin| coin["symbol"].as_str().unwrap()).collect();
    assert_eq!(symbols, ["BTC", "ETH"]);
    let (bitcoin, ether) = (&coins[0], &coins[1]);
    assert_eq!(bitcoin["posts"]["count"], 240);
    assert!(close(&bitcoin["posts"]["usual"], 120.0) && close(&bitcoin["posts"]["change"], 2.0), "{bitcoin}");
    assert!(close(&bitcoin["authors"]["change"], 2.0), "{bitcoin}");
    assert_eq!(bitcoin["sources"], json!(["mastodon"]));
    // By the Beta distribution of SciPy.
    let authors = &ether["authors"];
    assert!(close(&authors["usual"], 12.0) && close(&authors["change"], 0.417), "{authors}");
    assert!(
        close(&authors["interval"]["low"], 0.129) && close(&authors["interval"]["high"], 1.04),
        "{authors}"
    );

    assert_eq!(trending(&user, "?limit=1").await["data"].as_array().unwrap().len(), 1);
    user.get(&format!("{PATH}?limit=0")).await.assert_invalid("/limit", "range");
    user.get(&format!("{PATH}?sort=x")).await.assert_problem(400, "malformed-query");
}
