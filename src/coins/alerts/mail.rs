//! Sends the mail that reports a crossed threshold.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::super::number;
use crate::{
    db::{CoinId, Db, UserId},
    jobs::{Failure, Job, Running},
    mail::{Action, Letter, Mailer},
    market, users,
};

/// Tells of one crossing.
#[derive(Serialize, Deserialize)]
pub struct CoinAlertMail {
    pub user: UserId,
    pub coin: CoinId,
    pub metric: String,
    pub currency: Option<String>,
    pub direction: String,
    pub threshold: f64,
    pub value: f64,
    /// When the snapshot was published.
    pub at: DateTime<Utc>,
    /// Whether the alert is gone; not there in mails that an earlier version has queued.
    #[serde(default)]
    pub once: bool,
}

impl Job for CoinAlertMail {
    const KIND: &'static str = "coin-alert-mail";
    type Context = (Db, Mailer);

    async fn run(self, running: Running, (db, mailer): &Self::Context) -> Result<(), Failure> {
        let (user, coin) = (self.user, self.coin);
        let found = db
            .query(move |conn| {
                let account = users::find_account(conn, user)?.filter(|account| account.email_confirmed);
                Ok(account.zip(market::named(conn, Some(coin.0), "")?.into_iter().next()))
            })
            .await?;
        // Whoever has deleted the account wants no mail; an address that is not confirmed may be a stranger's.
        let Some((account, coin)) = found else {
            return Ok(());
        };
        let amount = |value: f64| match &self.currency {
            Some(currency) => format!("{} {currency}", number::exact(value)),
            None => number::exact(value),
        };
        let (threshold, value) = (amount(self.threshold), amount(self.value));
        let Self { metric, direction, at, .. } = &self;
        let subject = format!("{}: {metric} {direction} {threshold}", coin.name);
        let news = format!(
            "The {metric} of {} ({}) has crossed the threshold of your alert: it is {value}, which is {direction} {threshold}.",
            coin.name, coin.symbol
        );
        let when = format!("As of {}.", at.format("%-d %B %Y, %H:%M UTC"));
        let product = mailer.product();
        let end = if self.once {
            "It was for once and is deleted."
        } else {
            "To get no more of them, delete the alert there."
        };
        let why = format!("You get this mail because of an alert in your account at {product}. {end}");
        let label = format!("Open {product}");
        let letter = Letter {
            subject: &subject,
            name: account.greeting(),
            paragraphs: &[&news, &when],
            action: mailer.app_url().map(|link| Action { label: &label, link }),
            notes: &[&why],
            ..Letter::default()
        };
        mailer.send_letter(&running, account.email.given(), &letter).await
    }
}
