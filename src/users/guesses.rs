//! Guesses at the password of an account, however it is named.
//!
//! Strangers must neither find a password by trying nor lock its owner out by trying. So a network
//! has few wrong passwords for an account, and all networks from which its owner has not logged in
//! lately have 100 together (NIST SP 800-63B section 3.2.2). Where the owner has, nothing but that network's
//! own wrong passwords counts, also if somebody has stolen a token. A name that no account has is a
//! budget of its own.

use std::time::Duration;

use chrono::{DateTime, Utc};
use diesel::{PgConnection, QueryResult};
use uuid::Uuid;

use crate::{
    db::UserId,
    http::{Network, Problem},
    limits::{Limits, RateLimit, Spent},
    tokens::login_networks::{self, Known},
};

const FROM_NETWORK: RateLimit =
    RateLimit { name: "wrong passwords from a network", burst: 20, every: Duration::from_mins(10) };
const FROM_NEW_NETWORKS: RateLimit =
    RateLimit { name: "wrong passwords from new networks", burst: 100, every: Duration::from_hours(24) };
/// From networks that are known by a session only: a thief of its tokens may refresh it anywhere.
const FROM_SESSIONS: RateLimit =
    RateLimit { name: "wrong passwords where sessions are", burst: 200, every: Duration::from_mins(10) };
/// Of a person who is logged in: a thief of a token may come from many networks.
const WITH_TOKEN: RateLimit =
    RateLimit { name: "wrong passwords with a token", burst: 200, every: Duration::from_mins(10) };

const STOPPED: &str = "Log-in from new networks is stopped after 100 wrong passwords in a row. Log in from a \
    network that you used in the last 30 days, open the link that was mailed to the account's address, or \
    reset the password.";

/// A guess that was counted as wrong before it was checked, so that guesses at once count too.
#[derive(Clone, Debug)]
pub struct Guess {
    account: String,
    network: Network,
    /// The budget that it shares with guesses from other networks.
    shared: Option<RateLimit>,
    /// After this one, log-ins from new networks are stopped until the owner lifts that.
    pub is_last: bool,
}

impl Guess {
    /// At the log-in of an account, or of a name that no account has; in a transaction.
    ///
    /// # Errors
    /// `too-many-requests`; or the database cannot be written.
    pub fn at_login(
        conn: &mut PgConnection,
        limits: &Limits,
        account: Option<UserId>,
        name: &str,
        network: Network,
        now: DateTime<Utc>,
    ) -> Result<Self, Problem> {
        let shared = match login_networks::find(conn, account.unwrap_or(UserId(Uuid::nil())), network, now)? {
            Some(Known::ByLogin) => None,
            Some(Known::BySession) => Some(FROM_SESSIONS),
            None => Some(FROM_NEW_NETWORKS),
        };
        let account = account.map_or_else(|| name.to_owned(), |id| id.to_string());
        Self { account, network, shared, is_last: false }.count(conn, limits, now)
    }

    /// By a person who is logged in and repeats the password; in a transaction.
    pub fn of_user(
        conn: &mut PgConnection,
        limits: &Limits,
        user: UserId,
        network: Network,
        now: DateTime<Utc>,
    ) -> Result<Self, Problem> {
        Self { account: user.to_string(), network, shared: Some(WITH_TOKEN), is_last: false }
            .count(conn, limits, now)
    }

    fn count(
        mut self,
        conn: &mut PgConnection,
        limits: &Limits,
        now: DateTime<Utc>,
    ) -> Result<Self, Problem> {
        if let Some(shared) = self.shared {
            let is_new = shared.name == FROM_NEW_NETWORKS.name;
            let spent = limits
                .budgets
                .spend(conn, shared, &self.account, now)
                .map_err(|problem| if is_new { problem.detail(STOPPED) } else { problem })?;
            self.is_last = is_new && spent == Spent::TheLast;
        }
        limits.budgets.spend(conn, FROM_NETWORK, &self.network_subject(), now)?;
        Ok(self)
    }

    /// Takes the count back, and that of the wrong ones before it in the same budgets.
    pub fn was_right(&self, conn: &mut PgConnection, limits: &Limits) -> QueryResult<()> {
        if let Some(shared) = self.shared {
            limits.budgets.restore(conn, shared, &self.account)?;
        }
        limits.budgets.restore(conn, FROM_NETWORK, &self.network_subject())
    }

    /// Takes this count back: the server was too busy to check it.
    pub fn was_not_checked(&self, conn: &mut PgConnection, limits: &Limits) -> QueryResult<()> {
        if let Some(shared) = self.shared {
            limits.budgets.refund(conn, shared, &self.account)?;
        }
        limits.budgets.refund(conn, FROM_NETWORK, &self.network_subject())
    }

    fn network_subject(&self) -> String {
        format!("{} {}", self.account, self.network)
    }
}

/// Whether log-ins of this user from new networks are stopped.
pub fn is_login_stopped(
    conn: &mut PgConnection,
    limits: &Limits,
    user: UserId,
    now: DateTime<Utc>,
) -> QueryResult<bool> {
    limits.budgets.is_used_up(conn, FROM_NEW_NETWORKS, &user.to_string(), now)
}

/// Lets the user log in again, after he has proved to read mail at the account's address: the wrong
/// passwords of others are forgotten, and those to come do not count for this network.
pub fn allow_login(
    conn: &mut PgConnection,
    limits: &Limits,
    user: UserId,
    network: Network,
    now: DateTime<Utc>,
) -> QueryResult<()> {
    let guess = Guess { account: user.to_string(), network, shared: Some(FROM_NEW_NETWORKS), is_last: false };
    guess.was_right(conn, limits)?;
    login_networks::remember(conn, user, network, now)
}
