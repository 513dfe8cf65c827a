//! Sources that answer in part, and what is kept of what they say.

use crate::{
    social::{BITCOIN, coin, mastodon, silent},
    support::social::{app, market, minutes_ago, status, timeline},
};

#[tokio::test]
async fn an_author_counts_once_an_hour_over_all_readings() {
    let (market, instance) = (market().await, silent().await);
    let hour = minutes_ago(60).timestamp() / 3600 * 3600;
    let at = |number: u32, author: u32| {
        let mut status = status(number, 0, &format!("bitcoin is great {number}"));
        let at = chrono::DateTime::from_timestamp(hour + i64::from(number) * 60, 0).unwrap();
        status["created_at"] = at.to_rfc3339().into();
        status["account"]["url"] = format!("https://mastodon.example/@user{author}").into();
        status
    };
    instance.say_at(BITCOIN, timeline(&[at(1, 1)]));
    let app = app(&market, &mastodon(&instance));
    let user = app.user().await;
    coin(&user, "BTC", |social| social["sample_size"] == 1).await;
    instance.say_at(BITCOIN, timeline(&[at(3, 2), at(2, 1)]));
    let bitcoin = coin(&user, "BTC", |social| social["sample_size"].as_u64() > Some(1)).await;
    assert_eq!(bitcoin["sample_size"], 2);
    let mut later = at(4, 1);
    later["created_at"] = minutes_ago(0).to_rfc3339().into();
    instance.say_at(BITCOIN, timeline(&[later]));
    coin(&user, "BTC", |social| social["sample_size"] == 3).await;
}
