//! Sends the mail that reports crossed thresholds.

use std::fmt::Write;

use actix_web::web::Data;
use chrono::{DateTime, Utc};
use diesel::{PgConnection, QueryResult};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{
    ending::{AlertLinks, EndKeys},
    metric::{AlertMetric, Direction},
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

/// What the mails need.
#[derive(Clone)]
pub struct AlertMailContext {
    pub db: Db,
    pub mailer: Mailer,
    pub keys: Data<EndKeys>,
    pub links: AlertLinks,
}

/// Reports all crossings of a user in one snapshot.
#[derive(Serialize, Deserialize)]
pub struct CoinAlertsMail {
    pub user: UserId,
    /// The time of the data.
    pub at: DateTime<Utc>,
    /// Whether the numbers are simulated. Missing in jobs that an earlier version has queued.
    #[serde(default)]
    pub simulated: bool,
    /// At most as many as a link can end.
    pub crossings: Vec<Crossing>,
}

#[derive(Serialize, Deserialize)]
pub struct Crossing {
    /// Missing in jobs that an earlier version has queued.
    #[serde(default)]
    pub alert: Option<Uuid>,
    /// None for the value of the portfolio.
    pub coin: Option<CoinId>,
    pub metric: AlertMetric,
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
        let unit = self.metric.unit(self.currency.as_deref().unwrap_or_default());
        let side: &str = self.direction.into();
        let value = unit.measured_beside(self.value, self.threshold);
        (value, format!("{side} {}", unit.entered(self.threshold)))
    }

    /// Such as "23 posts (mastodon), 95% confidence interval 0.12 to 0.45"; None for a price.
    fn evidence(&self) -> Option<String> {
        let Basis { posts, interval, sources } = self.basis.as_ref()?;
        let unit = self.metric.unit("");
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
    type Context = AlertMailContext;

    async fn run(self, running: Running, context: &AlertMailContext) -> Result<(), Failure> {
        let AlertMailContext { db, mailer, keys, links } = context;
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
        let token = token(keys, &found);
        let (page, one_click) = (
            token.as_ref().map(|token| links.page(token)),
            token.as_ref().map(|token| links.one_click(token)),
        );
        let why = why(product, once, found.len(), page.is_some());
        let (label, link) = open(&found, links, mailer);
        let end = if found.len() - once == 1 { "Delete this alert" } else { "Delete these alerts" };
        let letter = Letter {
            subject: &subject,
            name: account.greeting(),
            paragraphs: &[&news],
            details: &details,
            action: link.as_ref().map(|link| Action { label: &label, link }),
            notes: &[&why],
            second: page.as_ref().map(|link| Action { label: end, link }),
            unsubscribe: one_click.as_deref(),
            ..Letter::default()
        };
        mailer.send_letter(&running, account.email.given(), &letter).await
    }
}

/// A crossing with its coin; None for the value of the portfolio.
type OfCoin = (Crossing, Option<Identity>);

/// Reads the account, and the coins of the crossings.
fn find(
    conn: &mut PgConnection,
    user: UserId,
    crossings: Vec<Crossing>,
) -> QueryResult<(Option<Account>, Vec<OfCoin>)> {
    let account = users::find_account(conn, user)?;
    let mut found = Vec::new();
    for crossing in crossings {
        let coin = match crossing.coin {
            Some(id) => market::find_coin(conn, id)?,
            None => None,
        };
        if coin.is_some() || crossing.coin.is_none() {
            found.push((crossing, coin));
        }
    }
    Ok((account, found))
}

/// Returns the token that deletes the alerts; None if all are deleted already.
fn token(keys: &EndKeys, found: &[OfCoin]) -> Option<String> {
    let left = found.iter().filter(|(crossing, _)| !crossing.once);
    let ids: Vec<_> = left.filter_map(|(crossing, _)| crossing.alert).collect();
    (!ids.is_empty()).then(|| keys.token(&ids))
}

/// Returns the label and the link of the button: the page of the coin if all crossings are of one, else the product.
fn open(found: &[OfCoin], links: &AlertLinks, mailer: &Mailer) -> (String, Option<String>) {
    let (_, first) = &found[0];
    let page = first
        .as_ref()
        .filter(|first| found.iter().all(|(_, coin)| coin.as_ref().is_some_and(|coin| coin.id == first.id)));
    match page.and_then(|coin| Some((coin, links.coin(&coin.slug)?))) {
        Some((coin, link)) => (format!("Open {}", coin.name), Some(link)),
        None => (format!("Open {}", mailer.product()), mailer.app_url().map(str::to_owned)),
    }
}

fn name(coin: Option<&Identity>) -> &str {
    coin.map_or("Your portfolio", |coin| &coin.name)
}

/// Returns the subject and the first paragraph; `found` is not empty.
fn subject_and_news(found: &[OfCoin]) -> (String, String) {
    if let [(crossing, coin)] = found {
        let (value, limit) = crossing.numbers();
        let metric = crossing.metric.phrase();
        let whose = coin.as_ref().map_or("your portfolio".to_owned(), |coin| {
            let Identity { name, symbol, .. } = coin;
            format!("{name} ({symbol})")
        });
        return (
            format!("{}: {metric} {limit}", name(coin.as_ref())),
            format!("The {metric} of {whose} has reached your alert: it is {value}, which is {limit}."),
        );
    }
    let mut names: Vec<&str> = Vec::new();
    for (_, coin) in found {
        let name = name(coin.as_ref());
        if !names.contains(&name) {
            names.push(name);
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
    let label = format!("{}, {}", name(coin.as_ref()), crossing.metric.phrase());
    (label, format!("{value}, {limit}{once}{evidence}"))
}

/// Why the mail was sent, and how to get no more of them; `once` of all alerts have been deleted.
fn why(product: &str, once: usize, all: usize, has_link: bool) -> String {
    if all == 1 {
        let end = match once {
            0 if has_link => "To turn it off, delete the alert with the link below or in your account.",
            0 => "To turn it off, delete the alert in your account.",
            _ => "It was a one-time alert, so it has been deleted.",
        };
        return format!("You're getting this because you set an alert at {product}. {end}");
    }
    let deleted = match once {
        0 => "",
        _ if once == all => " They were one-time alerts, so they have been deleted.",
        _ => " One-time alerts have been deleted.",
    };
    let end = match once {
        _ if once == all => "",
        _ if has_link => " To turn one off, delete it in your account; the link below deletes them all.",
        _ => " To turn one off, delete it in your account.",
    };
    format!("You're getting this because you set these alerts at {product}.{end}{deleted}")
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
    type Context = AlertMailContext;

    async fn run(self, running: Running, context: &AlertMailContext) -> Result<(), Failure> {
        let Self { user, at, crossing } = self;
        CoinAlertsMail { user, at, simulated: false, crossings: vec![crossing] }.run(running, context).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn crossing(id: i64, name: &str, once: bool) -> OfCoin {
        let crossing = Crossing {
            alert: Some(Uuid::now_v7()),
            coin: Some(CoinId(id)),
            metric: AlertMetric::Price,
            currency: Some("GBP".into()),
            direction: Direction::Above,
            threshold: 75_000.0,
            value: 75_100.5,
            once,
            basis: None,
        };
        let (symbol, slug) = (name.to_uppercase(), name.to_lowercase());
        (crossing, Some(Identity { id: CoinId(id), symbol, name: name.into(), slug }))
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
    fn a_mail_about_the_portfolio_names_no_coin() {
        let (crossing, _) = crossing(1, "Ada", false);
        let worth = Crossing { coin: None, metric: AlertMetric::PortfolioValue, ..crossing };
        let (subject, news) = subject_and_news(&[(worth, None)]);
        assert_eq!(subject, "Your portfolio: value above \u{a3}75,000");
        assert!(
            news.starts_with("The value of your portfolio has reached your alert: it is \u{a3}75,100.50"),
            "{news}"
        );
    }

    #[test]
    fn the_reason_says_how_to_get_no_more_mails() {
        for (once, all, has_link, end) in [
            (0, 1, true, "To turn it off, delete the alert with the link below or in your account."),
            (0, 1, false, "To turn it off, delete the alert in your account."),
            (1, 1, false, "It was a one-time alert, so it has been deleted."),
            (0, 2, true, "To turn one off, delete it in your account; the link below deletes them all."),
            (1, 2, false, "To turn one off, delete it in your account. One-time alerts have been deleted."),
            (2, 2, false, "at X. They were one-time alerts, so they have been deleted."),
        ] {
            let text = why("X", once, all, has_link);
            assert!(text.ends_with(end), "{once} of {all}: {text}");
        }
    }

    #[test]
    fn a_mail_names_the_posts_that_a_social_figure_is_based_on() {
        let (price, coin) = crossing(1, "Ada", false);
        assert_eq!(price.evidence(), None);
        let basis = |posts, interval| Crossing {
            metric: AlertMetric::Sentiment,
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
