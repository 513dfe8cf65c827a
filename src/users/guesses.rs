//! Guesses at the password of an account, however it is named.
//!
//! Strangers must neither find a password by trying nor lock its owner out by trying. So a network
//! has few wrong passwords for an account, and all networks from which its owner has not logged in
//! lately have 100 together (NIST SP 800-63B section 3.2.2). From a network where the owner has, only
//! that network's own count. An account that does not exist is treated alike.

use std::time::Duration;

use chrono::{DateTime, Utc};
use diesel::{Connection, PgConnection, QueryResult, connection::SimpleConnection};
use uuid::Uuid;

use crate::{
    http::{Network, Problem},
    limits::{Limits, RateLimit, Spent},
    tokens::login_networks,
};

const FROM_NETWORK: RateLimit =
    RateLimit { name: "wrong passwords from a network", burst: 20, every: Duration::from_mins(10) };
const FROM_NEW_NETWORKS: RateLimit =
    RateLimit { name: "wrong passwords from new networks", burst: 100, every: Duration::from_hours(24) };

/// A guess that was counted as wrong before it was checked, so that guesses at once count too.
#[derive(Clone, Debug)]
pub struct Guess {
    account: String,
    network: Network,
    is_from_new_network: bool,
    /// After this one, log-ins from new networks are stopped until the owner lifts that.
    pub is_last: bool,
}

impl Guess {
    /// At the log-in of an account, or of a name that no account has.
    ///
    /// # Errors
    /// `too-many-requests`; or the database cannot be written.
    pub fn at_login(
        conn: &mut PgConnection,
        limits: &Limits,
        account: Option<Uuid>,
        name: &str,
        network: Network,
        now: DateTime<Utc>,
    ) -> Result<Self, Problem> {
        let id = account.unwrap_or_default();
        let account = account.map_or_else(|| name.to_owned(), |id| id.to_string());
        let mut guess = Self { account, network, is_from_new_network: false, is_last: false };
        if !limits.budgets.is_enabled() {
            return Ok(guess);
        }
        conn.transaction(|conn| {
            // What a crash of PostgreSQL forgets is less than a second of guesses.
            conn.batch_execute("SET LOCAL synchronous_commit TO off")?;
            guess.is_from_new_network = !login_networks::is_known(conn, id, network, now)?;
            if guess.is_from_new_network {
                let spent = limits
                    .budgets
                    .spend(conn, FROM_NEW_NETWORKS, &guess.account, now)
                    .map_err(|problem| problem.detail(STOPPED))?;
                guess.is_last = spent == Spent::TheLast;
            }
            limits.budgets.spend(conn, FROM_NETWORK, &guess.network_subject(), now)?;
            Ok(guess)
        })
    }

    /// By a person who is logged in and repeats the password.
    ///
    /// # Errors
    /// As [`Guess::at_login`].
    pub fn of_user(
        conn: &mut PgConnection,
        limits: &Limits,
        user: Uuid,
        network: Network,
        now: DateTime<Utc>,
    ) -> Result<Self, Problem> {
        let account = user.to_string();
        let guess = Self { account, network, is_from_new_network: false, is_last: false };
        limits.budgets.spend(conn, FROM_NETWORK, &guess.network_subject(), now)?;
        Ok(guess)
    }

    /// Takes the count back, and that of the wrong ones before it. Those from other networks are
    /// forgotten only by a guess that was one of them.
    ///
    /// # Errors
    /// The database cannot be written.
    pub fn was_right(&self, conn: &mut PgConnection, limits: &Limits) -> QueryResult<()> {
        if !limits.budgets.is_enabled() {
            return Ok(());
        }
        if self.is_from_new_network {
            limits.budgets.restore(conn, FROM_NEW_NETWORKS, &self.account)?;
        }
        limits.budgets.restore(conn, FROM_NETWORK, &self.network_subject())
    }

    fn network_subject(&self) -> String {
        format!("{} {}", self.account, self.network)
    }
}

const STOPPED: &str = "there were 100 wrong passwords in a row. You can still log in from where you did lately; \
    elsewhere use the link that was mailed to the account's address, or choose a new password";

/// Lets the user log in again, after he has proved to read mail at the account's address: the wrong
/// passwords of others are forgotten, and those to come do not count for this network.
///
/// # Errors
/// The database cannot be written.
pub fn allow_login(
    conn: &mut PgConnection,
    limits: &Limits,
    user: Uuid,
    network: Network,
    now: DateTime<Utc>,
) -> QueryResult<()> {
    let guess = Guess { account: user.to_string(), network, is_from_new_network: true, is_last: false };
    guess.was_right(conn, limits)?;
    login_networks::remember(conn, user, network, now)
}
