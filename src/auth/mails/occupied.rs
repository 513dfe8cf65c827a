//! What becomes of a challenge for an address that somebody else may have.

use diesel::{PgConnection, QueryResult};
use uuid::Uuid;

use super::MailContext;
use crate::{
    auth::challenges::{self, Challenge, Secrets},
    jobs::{Failure, Running},
    mail::{Action, Letter},
    users,
};

/// Arms the challenge. None when there is nothing to mail: it is gone, or somebody else has its
/// address and was told. It is armed then as well, so that what can be tried with it is the same.
pub(super) async fn arm_unless_occupied(
    context: &MailContext,
    running: &Running,
    id: Uuid,
) -> Result<Option<(Challenge, Secrets)>, Failure> {
    let (keys, run) = (context.keys.clone(), *running);
    let found = context
        .db
        .query_tx(move |conn| {
            let Some((challenge, secrets)) = challenges::arm(conn, &keys, id, run.now)? else {
                return Ok(None);
            };
            let occupied = occupied(conn, &challenge, &run)?;
            Ok(Some((challenge, secrets, occupied)))
        })
        .await?;
    match found {
        None => Ok(None),
        Some((challenge, secrets, None)) => Ok(Some((challenge, secrets))),
        Some((challenge, _, Some(occupied))) => {
            tell(context, running, &challenge, occupied).await?;
            Ok(None)
        }
    }
}

/// Whether somebody else than the challenge's own user has its address.
fn occupied(
    conn: &mut PgConnection,
    challenge: &Challenge,
    running: &Running,
) -> QueryResult<Option<Occupied>> {
    let other = |id| Some(id) != challenge.user();
    let account = users::find_account_of(conn, &challenge.email)?;
    if account.is_some_and(|account| other(account.id)) {
        return Ok(Some(Occupied::ByAccount));
    }
    let reserved = challenges::is_reserved(conn, &challenge.email, challenge.user(), running.now)?;
    Ok(reserved.then_some(Occupied::UntilLately))
}

/// Why an address cannot be had.
#[derive(Clone, Copy)]
enum Occupied {
    ByAccount,
    /// It was an account's until lately, and may become it again.
    UntilLately,
}

/// To an address that cannot be had, instead of what would confirm it. Whoever asked for it has
/// got the same answer as always.
async fn tell(
    context: &MailContext,
    running: &Running,
    challenge: &Challenge,
    occupied: Occupied,
) -> Result<(), Failure> {
    let wanted =
        format!("Somebody, probably you, wanted to use this address at {}.", context.mailer.product());
    let letter = match occupied {
        Occupied::ByAccount => Letter {
            subject: "You already have an account",
            paragraphs: &[
                &wanted,
                "It has an account there already, so nothing has changed: log in as usual. If you have \
                 forgotten the password, choose a new one.",
            ],
            action: Some(Action { label: "Choose a new password", link: &context.page("reset-password") }),
            notes: &["If it was not you, do nothing."],
            ..Letter::default()
        },
        Occupied::UntilLately => Letter {
            subject: "This address is still reserved",
            paragraphs: &[
                &wanted,
                "Until lately an account there had it, and for 7 days that can be undone with the link \
                 that we mailed then. So nothing has changed now; try again later.",
            ],
            notes: &["If it was not you, do nothing."],
            ..Letter::default()
        },
    };
    context.mailer.send_letter(running, challenge.email.given(), &letter).await
}
