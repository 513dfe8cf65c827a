//! Arms challenges for an address that another account may have: its owner gets a notice instead of the secrets.

use diesel::{PgConnection, QueryResult};
use uuid::Uuid;

use super::MailContext;
use crate::{
    auth::challenges::{self, Challenge, Secrets},
    jobs::{Failure, Running},
    mail::{Action, Letter},
    users,
};

/// Arms the challenge and returns it with its secrets. Returns None if they must not be mailed: the challenge was
/// cancelled, or another account has the address and a notice was sent there. It is armed in that case too, so that
/// guesses at its code cannot tell the difference.
pub(super) async fn arm_unless_in_use(
    context: &MailContext,
    running: &Running,
    id: Uuid,
) -> Result<Option<(Challenge, Secrets)>, Failure> {
    let run = *running;
    let found = context
        .query_tx(move |conn, keys| {
            let Some((challenge, secrets)) = challenges::arm(conn, keys, id, run.now)? else {
                return Ok(None);
            };
            let in_use = address_in_use(conn, &challenge, &run)?;
            Ok(Some((challenge, secrets, in_use)))
        })
        .await?;
    match found {
        None => Ok(None),
        Some((challenge, secrets, None)) => Ok(Some((challenge, secrets))),
        Some((challenge, _, Some(in_use))) => {
            send_notice(context, running, &challenge, in_use).await?;
            Ok(None)
        }
    }
}

/// Returns why the challenge's own user cannot have its address, or None if nothing prevents it.
fn address_in_use(
    conn: &mut PgConnection,
    challenge: &Challenge,
    running: &Running,
) -> QueryResult<Option<InUse>> {
    let account = users::find_account_of(conn, &challenge.email)?;
    if account.is_some_and(|account| Some(account.id) != challenge.user()) {
        return Ok(Some(InUse::ByAccount));
    }
    let reserved = challenges::is_reserved(conn, &challenge.email, challenge.user(), running.now)?;
    Ok(reserved.then_some(InUse::Reserved))
}

/// Why an account cannot have an address.
#[derive(Clone, Copy)]
enum InUse {
    ByAccount,
    /// Another account had it until recently, and may get it back.
    Reserved,
}

/// Mails to the address why it cannot be used. The request for it got the usual response, which reveals nothing.
async fn send_notice(
    context: &MailContext,
    running: &Running,
    challenge: &Challenge,
    in_use: InUse,
) -> Result<(), Failure> {
    let wanted = format!("Someone tried to use this email address at {}.", context.mailer.product());
    let not_you = "If this wasn't you, there's nothing to do.";
    let letter = match in_use {
        InUse::ByAccount => Letter {
            subject: "You already have an account",
            paragraphs: &[
                &wanted,
                "An account with this address already exists, so nothing has changed. Log in as usual. Forgot your \
                 password? Choose a new one.",
            ],
            action: Some(Action { label: "Choose a new password", link: &context.page("reset-password") }),
            notes: &[not_you],
            ..Letter::default()
        },
        InUse::Reserved => Letter {
            subject: "This address is still reserved",
            paragraphs: &[
                &wanted,
                "An account had this address until recently, and its owner can undo that change for 7 days with the \
                 link that we sent to this address. The address is reserved until then, so nothing has changed now. \
                 Please try again later.",
            ],
            notes: &[not_you],
            ..Letter::default()
        },
    };
    context.mailer.send_letter(running, challenge.email.given(), &letter).await
}
