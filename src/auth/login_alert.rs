//! Notices a log-in from a new device, and mails it.

use chrono::{DateTime, Utc};
use diesel::{PgConnection, QueryResult};

use super::{
    challenges,
    mails::{Origin, SessionAct, SessionMail},
};
use crate::{
    db::{SessionId, UserId},
    jobs,
    limits::Limits,
    tokens::{Client, login_devices},
    users,
};

/// A log-in that has just succeeded.
pub(super) struct NewLogin<'a> {
    pub user: UserId,
    pub session: SessionId,
    pub client: &'a Client,
    /// The first log-in of the account is no news.
    pub is_first: bool,
}

/// Stores the device, and mails the log-in if the device is new, the address is confirmed and `is_on`. The `User-Agent`
/// alone makes no device known, and neither does a mail that cannot be sent: so a thief can suppress the mail only from
/// the network and with the program of the owner.
pub(super) fn notice(
    conn: &mut PgConnection,
    limits: &Limits,
    is_on: bool,
    login: &NewLogin,
    now: DateTime<Utc>,
) -> QueryResult<()> {
    let NewLogin { user, session, client, is_first } = *login;
    let is_known = login_devices::remember(conn, user, client, now)?;
    if is_known || is_first || !is_on {
        return Ok(());
    }
    let Some(account) = users::find_account(conn, user)?.filter(|account| account.email_confirmed) else {
        return Ok(());
    };
    if limits.budgets.take(conn, limits.rates.mails.new_device, &user.to_string(), now)?.is_err() {
        return Ok(());
    }
    let challenge = challenges::open_for_session(conn, user, session, &account.email, now)?;
    let mail = SessionMail {
        email: account.email.given().to_owned(),
        origin: Origin::of(client, now),
        what: SessionAct::LoggedIn,
        challenge,
    };
    jobs::enqueue(conn, &mail, now)?;
    Ok(())
}
