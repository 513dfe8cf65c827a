//! A mail when a number of a coin crosses a threshold.
//!
//! An alert is armed while its number is on the near side of the threshold. The first snapshot with the number at or
//! beyond it is a crossing: one mail, and the alert is disarmed until the number has gone back behind the
//! threshold by the alert's `hysteresis`, so a number that hovers around it sends one mail, not many. Crossings are
//! found by two statements in the transaction that publishes the snapshot ([`Alerts`]), and the mails are jobs of the
//! same commit: a snapshot that is not published sends none, one that is sends each once.

mod create;
mod delete;
mod list;
mod mail;
mod model;
mod store;

use chrono::{DateTime, Utc};
use diesel::{PgConnection, QueryResult};
use utoipa_actix_web::service_config::ServiceConfig;

pub use self::mail::CoinAlertMail;
use crate::market::AfterPublish;

/// Evaluates every alert on each snapshot that is published.
pub struct Alerts;

impl AfterPublish for Alerts {
    fn published(&self, conn: &mut PgConnection, snapshot_id: i64, now: DateTime<Utc>) -> QueryResult<()> {
        store::evaluate(conn, snapshot_id, now)
    }
}

pub fn routes(config: &mut ServiceConfig) {
    config.service(list::list_alerts).service(create::create_alert).service(delete::delete_alert);
}
