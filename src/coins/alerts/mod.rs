//! Sends a mail when a number of a coin, or the value of a portfolio, crosses a threshold.
//!
//! An alert is armed while its number has not reached the threshold. The first snapshot with the number at or beyond it is
//! a crossing: it is mailed and disarms the alert until the number has gone back by the alert's `hysteresis`. So a number
//! that hovers around the threshold sends one mail, not many. A social figure of few posts counts only if its whole
//! confidence interval is on one side, for a crossing as well as for going back. Two statements in the transaction that
//! publishes the snapshot find the crossings ([`store::evaluate`]). The same transaction enqueues one mail for each user
//! with all of their crossings, so that each is sent once if the snapshot is published, and not at all if that fails.

mod create;
mod delete;
mod end;
mod ending;
mod list;
mod mail;
mod metric;
mod model;
mod read;
mod store;

use chrono::{DateTime, Utc};
use diesel::{PgConnection, QueryResult};
use utoipa_actix_web::service_config::ServiceConfig;

pub use self::{
    ending::{AlertLinks, EndKeys},
    mail::{AlertMailContext, CoinAlertMail, CoinAlertsMail},
};
use super::followed;
use crate::{
    db::{CoinId, SnapshotId},
    market::SyncHooks,
};

/// Evaluates every alert on each snapshot that is published.
pub struct Alerts {
    /// The posts that a social figure needs to cross a threshold by itself.
    pub min_posts: u32,
}

impl SyncHooks for Alerts {
    fn published(
        &self,
        conn: &mut PgConnection,
        snapshot_id: SnapshotId,
        now: DateTime<Utc>,
    ) -> QueryResult<()> {
        store::evaluate(conn, snapshot_id, self.min_posts, now)
    }

    fn followed(&self, conn: &mut PgConnection, besides: &[CoinId], limit: u32) -> QueryResult<Vec<CoinId>> {
        followed::followed(conn, besides, limit)
    }

    /// No alert crosses by the step from one kind of data to another.
    fn data_replaced(&self, conn: &mut PgConnection) -> QueryResult<()> {
        store::disarm_all(conn)
    }
}

pub fn routes(config: &mut ServiceConfig) {
    config
        .service(list::list_alerts)
        .service(create::create_alert)
        .service(read::read_alert)
        .service(delete::delete_alert)
        .service(end::end_alerts);
}

/// The address outside of the API that mail programs call.
pub fn one_click(config: &mut ServiceConfig) {
    config.service(end::end_alerts_by_mail);
}
