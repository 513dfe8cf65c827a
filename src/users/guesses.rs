//! Limits guesses at the password of an account.
//!
//! Strangers must neither find a password by guessing nor lock its owner out by guessing. So one network has few wrong
//! passwords for an account, and all networks from which its owner has not logged in recently have 100 together (NIST
//! SP 800-63B section 3.2.2). In a network from which the owner has logged in, only that network's own wrong passwords
//! count, even if a token was stolen. A name without an account has a budget of its own.

use chrono::{DateTime, Utc};
use diesel::{PgConnection, QueryResult};
use uuid::Uuid;

use crate::{
    db::UserId,
    http::{Network, Problem},
    limits::{Limits, RateLimit, Spent},
    tokens::login_networks::{self, Known},
};

/// A guess that was counted as wrong before it is verified, so that simultaneous guesses count too.
#[derive(Clone, Debug)]
pub struct Guess {
    account: String,
    network: Network,
    /// The budget that it shares with guesses from other networks, if any.
    shared: Option<RateLimit>,
    /// Whether it uses up that budget: log-ins from new networks are then stopped until the owner allows them again.
    pub is_last: bool,
}

impl Guess {
    /// Counts a guess at a log-in; `account` is None if no account has the `name`. Call it in a transaction.
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
            Some(Known::BySession) => Some(limits.rates.passwords.sessions),
            None => Some(limits.rates.passwords.new_networks),
        };
        let account = account.map_or_else(|| name.to_owned(), |id| id.to_string());
        Self { account, network, shared, is_last: false }.count(conn, limits, now)
    }

    /// Counts a guess of a logged-in user who has to repeat the password. Call it in a transaction.
    pub fn of_user(
        conn: &mut PgConnection,
        limits: &Limits,
        user: UserId,
        network: Network,
        now: DateTime<Utc>,
    ) -> Result<Self, Problem> {
        Self {
            account: user.to_string(),
            network,
            shared: Some(limits.rates.passwords.with_token),
            is_last: false,
        }
        .count(conn, limits, now)
    }

    fn count(
        mut self,
        conn: &mut PgConnection,
        limits: &Limits,
        now: DateTime<Utc>,
    ) -> Result<Self, Problem> {
        if let Some(shared) = self.shared {
            let is_new = shared.name == limits.rates.passwords.new_networks.name;
            let spent = limits
                .budgets
                .spend(conn, shared, &self.account, now)
                .map_err(|problem| if is_new { problem.detail(stopped(shared.burst)) } else { problem })?;
            self.is_last = is_new && spent == Spent::TheLast;
        }
        limits.budgets.spend(conn, limits.rates.passwords.network, &self.network_subject(), now)?;
        Ok(self)
    }

    /// Restores the budgets: neither this guess nor the wrong ones before it count any longer.
    pub fn was_right(&self, conn: &mut PgConnection, limits: &Limits) -> QueryResult<()> {
        if let Some(shared) = self.shared {
            limits.budgets.restore(conn, shared, &self.account)?;
        }
        limits.budgets.restore(conn, limits.rates.passwords.network, &self.network_subject())
    }

    /// Refunds this guess. Only if it was not verified, or if it was right but the log-in failed for another reason.
    pub fn refund(&self, conn: &mut PgConnection, limits: &Limits) -> QueryResult<()> {
        if let Some(shared) = self.shared {
            limits.budgets.refund(conn, shared, &self.account)?;
        }
        limits.budgets.refund(conn, limits.rates.passwords.network, &self.network_subject())
    }

    fn network_subject(&self) -> String {
        format!("{} {}", self.account, self.network)
    }
}

fn stopped(burst: u32) -> String {
    format!(
        "Log-in from new networks is stopped after {burst} wrong passwords in a row. Log in from a network that you \
         used in the last 30 days, open the link that was mailed to the account's address, or reset the password."
    )
}

/// Whether log-ins of this user from new networks are stopped.
pub fn is_login_stopped(
    conn: &mut PgConnection,
    limits: &Limits,
    user: UserId,
    now: DateTime<Utc>,
) -> QueryResult<bool> {
    limits.budgets.is_used_up(conn, limits.rates.passwords.new_networks, &user.to_string(), now)
}

/// Allows log-ins again after the user has proved to receive mail at the account's address. Wrong passwords from new
/// networks are forgotten, and future ones do not stop log-ins from this network.
pub fn allow_login(
    conn: &mut PgConnection,
    limits: &Limits,
    user: UserId,
    network: Network,
    now: DateTime<Utc>,
) -> QueryResult<()> {
    let guess = Guess {
        account: user.to_string(),
        network,
        shared: Some(limits.rates.passwords.new_networks),
        is_last: false,
    };
    guess.was_right(conn, limits)?;
    login_networks::remember(conn, user, network, now)
}
