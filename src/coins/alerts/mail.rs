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

/// Reports one crossing.
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
    /// Whether the alert has been deleted. Missing in jobs that an earlier version has queued.
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
                Ok(account.zip(market::find_coin(conn, coin)?))
            })
            .await?;
        // No mail to a deleted account, or to an unconfirmed address, which may belong to a stranger.
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
            "This was a one-time alert and has been deleted."
        } else {
            "To stop these mails, delete the alert there."
        };
        let why = format!("You receive this mail because of an alert in your account at {product}. {end}");
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
