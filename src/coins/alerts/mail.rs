//! Sends the mail that reports crossed thresholds.

use std::fmt::Write;

use chrono::{DateTime, Utc};
use diesel::{PgConnection, QueryResult};
use serde::{Deserialize, Serialize};

use super::{
    super::{history::Metric, unit::Unit},
    model::Direction,
};
use crate::{
    db::{CoinId, Db, UserId},
    jobs::{Failure, Job, Running},
    mail::{Action, Letter, Mailer},
    market::{self, Identity},
    sentiment::Interval,
    users::{self, Account},
};

/// Coins that the subject names.
const MAX_NAMES: usize = 3;

/// Reports all crossings of a user in one snapshot.
#[derive(Serialize, Deserialize)]
pub struct CoinAlertsMail {
    pub user: UserId,
    /// The time of the data.
    pub at: DateTime<Utc>,
    /// Whether the numbers are simulated. Missing in jobs that an earlier version has queued.
    #[serde(default)]
    pub simulated: bool,
    /// At most as many as a user has alerts.
    pub crossings: Vec<Crossing>,
}

#[derive(Serialize, Deserialize)]
pub struct Crossing {
    pub coin: CoinId,
    pub metric: Metric,
    pub currency: Option<String>,
    pub direction: Direction,
    pub threshold: f64,
    pub value: f64,
    /// Whether the alert has been deleted. Missing in jobs that an earlier version has queued.
    #[serde(default)]
    pub once: bool,
    /// None for a price, and in jobs that an earlier version has queued.
    #[serde(default)]
    pub basis: Option<Basis>,
}

/// The posts that a social figure was computed from.
#[derive(Serialize, Deserialize)]
pub struct Basis {
    pub posts: i64,
    /// The 95% confidence interval of the figure, if it is known.
    pub interval: Option<Interval>,
    /// Names of providers, such as `mastodon`.
    pub sources: Vec<String>,
}

impl Crossing {
    /// Such as "£49,000.50" and "below £50,000".
    fn numbers(&self) -> (String, String) {
        let unit = Unit::of(self.metric, self.currency.as_deref().unwrap_or_default());
        let side: &str = self.direction.into();
        let value = unit.measured_beside(self.value, self.threshold);
        (value, format!("{side} {}", unit.entered(self.threshold)))
    }

    /// Such as "23 posts (mastodon), 95% confidence interval 0.12 to 0.45"; None for a price.
    fn evidence(&self) -> Option<String> {
        let Basis { posts, interval, sources } = self.basis.as_ref()?;
        let unit = Unit::of(self.metric, "");
        let number = |value| unit.measured_beside(value, self.threshold);
        let plural = if *posts == 1 { "post" } else { "posts" };
        let mut text = format!("{posts} {plural} ({})", sources.join(", "));
        if let Some(Interval { low, high }) = *interval {
            let _ = write!(text, ", 95% confidence interval {} to {}", number(low), number(high));
        }
        Some(text)
    }
}

impl Job for CoinAlertsMail {
    const KIND: &'static str = "coin-alerts-mail";
    type Context = (Db, Mailer);

    async fn run(self, running: Running, (db, mailer): &Self::Context) -> Result<(), Failure> {
        let Self { user, at, simulated, crossings } = self;
        let (account, found) = db.query(move |conn| find(conn, user, crossings)).await?;
        // No mail to a deleted account, or to an unconfirmed address, which may belong to a stranger.
        let Some(account) = account.filter(|account| account.email_confirmed && !found.is_empty()) else {
            return Ok(());
        };
        let product = mailer.product();
        let (mut subject, mut news) = subject_and_news(&found);
        if simulated {
            subject = format!("[simulated] {subject}");
            news += " The numbers are simulated: they are invented, and not those of a market.";
        }
        let mut details = Vec::new();
        if found.len() > 1 {
            details.extend(found.iter().map(line));
        } else if let Some(evidence) = found[0].0.evidence() {
            details.push(("Based on".to_owned(), evidence));
        }
        details.push(("As of".to_owned(), at.format("%-d %B %Y, %H:%M UTC").to_string()));
        let details: Vec<_> = details.iter().map(|(label, value)| (label.as_str(), value.clone())).collect();
        let once = found.iter().filter(|(crossing, _)| crossing.once).count();
        let why = why(product, once, found.len());
        let label = format!("Open {product}");
        let letter = Letter {
            subject: &subject,
            name: account.greeting(),
            paragraphs: &[&news],
            details: &details,
            action: mailer.app_url().map(|link| Action { label: &label, link }),
            notes: &[&why],
            ..Letter::default()
        };
        mailer.send_letter(&running, account.email.given(), &letter).await
    }
}

/// A crossing with its coin.
type OfCoin = (Crossing, Identity);

/// Reads the account, and the coins of the crossings.
fn find(
    conn: &mut PgConnection,
    user: UserId,
    crossings: Vec<Crossing>,
) -> QueryResult<(Option<Account>, Vec<OfCoin>)> {
    let account = users::find_account(conn, user)?;
    let mut found = Vec::new();
    for crossing in crossings {
        if let Some(coin) = market::find_coin(conn, crossing.coin)? {
            found.push((crossing, coin));
        }
    }
    Ok((account, found))
}

/// Returns the subject and the first paragraph; `found` is not empty.
fn subject_and_news(found: &[OfCoin]) -> (String, String) {
    if let [(crossing, coin)] = found {
        let (value, limit) = crossing.numbers();
        let (name, metric) = (&coin.name, crossing.metric.as_str());
        return (
            format!("{name}: {metric} {limit}"),
            format!(
                "The {metric} of {name} ({}) has reached your alert: it is {value}, which is {limit}.",
                coin.symbol
            ),
        );
    }
    let mut names: Vec<&str> = Vec::new();
    for (_, coin) in found {
        if !names.contains(&coin.name.as_str()) {
            names.push(&coin.name);
        }
    }
    let more = names.len().saturating_sub(MAX_NAMES);
    names.truncate(MAX_NAMES);
    let mut subject = format!("{} alerts reached: {}", found.len(), names.join(", "));
    if more > 0 {
        let _ = write!(subject, " and {more} more");
    }
    (subject, format!("{} of your alerts have been reached at the same time.", found.len()))
}

/// The line of one crossing among others.
fn line((crossing, coin): &OfCoin) -> (String, String) {
    let (value, limit) = crossing.numbers();
    let once = if crossing.once { " (one-time alert)" } else { "" };
    let evidence = crossing.evidence().map_or_else(String::new, |evidence| format!("; based on {evidence}"));
    (format!("{}, {}", coin.name, crossing.metric.as_str()), format!("{value}, {limit}{once}{evidence}"))
}

/// Why the mail was sent, and how to get no more of them; `once` of all alerts have been deleted.
fn why(product: &str, once: usize, all: usize) -> String {
    if all == 1 {
        let end = match once {
            0 => "To turn it off, delete the alert in your account.",
            _ => "It was a one-time alert, so it has been deleted.",
        };
        return format!("You're getting this because you set an alert at {product}. {end}");
    }
    let end = match once {
        0 => "To turn one off, delete it in your account.",
        _ if once == all => "They were one-time alerts, so they have been deleted.",
        _ => "To turn one off, delete it in your account. One-time alerts have been deleted.",
    };
    format!("You're getting this because you set these alerts at {product}. {end}")
}

/// The mail about one crossing that an earlier version has queued.
#[derive(Serialize, Deserialize)]
pub struct CoinAlertMail {
    user: UserId,
    at: DateTime<Utc>,
    #[serde(flatten)]
    crossing: Crossing,
}

impl Job for CoinAlertMail {
    const KIND: &'static str = "coin-alert-mail";
    type Context = (Db, Mailer);

    async fn run(self, running: Running, context: &Self::Context) -> Result<(), Failure> {
        let Self { user, at, crossing } = self;
        CoinAlertsMail { user, at, simulated: false, crossings: vec![crossing] }.run(running, context).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn crossing(id: i64, name: &str, once: bool) -> (Crossing, Identity) {
        let crossing = Crossing {
            coin: CoinId(id),
            metric: Metric::Price,
            currency: Some("GBP".into()),
            direction: Direction::Above,
            threshold: 75_000.0,
            value: 75_100.5,
            once,
            basis: None,
        };
        let (symbol, slug) = (name.to_uppercase(), name.to_lowercase());
        (crossing, Identity { id: CoinId(id), symbol, name: name.into(), slug })
    }

    #[test]
    fn a_mail_names_its_one_crossing_or_counts_several() {
        let (subject, news) = subject_and_news(&[crossing(1, "Ada", false)]);
        assert_eq!(subject, "Ada: price above \u{a3}75,000");
        assert_eq!(
            news,
            "The price of Ada (ADA) has reached your alert: it is \u{a3}75,100.50, which is above \u{a3}75,000."
        );
        let several = ["A", "B", "A", "C", "D", "E"].map(|name| crossing(1, name, true));
        assert_eq!(subject_and_news(&several).0, "6 alerts reached: A, B, C and 2 more");
        let expected = ("A, price", "\u{a3}75,100.50, above \u{a3}75,000 (one-time alert)");
        assert_eq!(line(&several[0]), (expected.0.to_owned(), expected.1.to_owned()));
    }

    #[test]
    fn the_reason_says_how_to_get_no_more_mails() {
        for (once, all, end) in [
            (0, 1, "To turn it off, delete the alert in your account."),
            (1, 1, "It was a one-time alert, so it has been deleted."),
            (0, 2, "To turn one off, delete it in your account."),
            (1, 2, "One-time alerts have been deleted."),
            (2, 2, "They were one-time alerts, so they have been deleted."),
        ] {
            assert!(why("X", once, all).ends_with(end), "{once} of {all}");
        }
    }

    #[test]
    fn a_mail_names_the_posts_that_a_social_figure_is_based_on() {
        let (price, coin) = crossing(1, "Ada", false);
        assert_eq!(price.evidence(), None);
        let basis = |posts, interval| Crossing {
            metric: Metric::Sentiment,
            currency: None,
            threshold: 0.3,
            value: 0.4,
            basis: Some(Basis { posts, interval, sources: vec!["mastodon".into(), "x".into()] }),
            ..crossing(1, "Ada", false).0
        };
        let sentiment = basis(23, Some(Interval { low: -0.1234, high: 0.45 }));
        let expected = "23 posts (mastodon, x), 95% confidence interval \u{2212}0.12 to 0.45";
        assert_eq!(sentiment.evidence().as_deref(), Some(expected));
        assert_eq!(line(&(sentiment, coin)).1, format!("0.40, above 0.3; based on {expected}"));
        assert_eq!(basis(1, None).evidence().as_deref(), Some("1 post (mastodon, x)"));
    }

    /// Servers of two versions may run on one database during an upgrade.
    #[test]
    fn a_job_that_an_earlier_version_has_queued_can_be_read() {
        let text = r#"{"user": "0199f3b0-5b0a-7cc0-b1c5-4cbbf3a3b0f1", "coin": 1, "metric": "sentiment",
            "currency": null, "direction": "below", "threshold": -0.5, "value": -0.6, "at": "2026-11-22T12:00:00Z"}"#;
        let job: CoinAlertMail = serde_json::from_str(text).expect("readable");
        assert_eq!(job.crossing.numbers(), ("\u{2212}0.60".into(), "below \u{2212}0.5".into()));
        assert!(!job.crossing.once);
    }
}
