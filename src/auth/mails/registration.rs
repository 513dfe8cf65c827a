use diesel::{PgConnection, QueryResult};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{Mailing, confirmation, notice};
use crate::{
    jobs::{Failure, Job, Running},
    tokens::challenges::{self, Challenge},
    users::{self, EmailAddress},
};

/// After `POST /auth/register` where confirmation is required: a link and a code, or, when the
/// address has an account, a notice. The challenge is armed either way, so that what can be tried
/// with it is the same.
#[derive(Serialize, Deserialize)]
pub struct RegistrationMail {
    pub challenge: Uuid,
}

impl Job for RegistrationMail {
    const KIND: &'static str = "mail-registration";
    type Context = Mailing;

    async fn run(self, running: Running, mailing: &Mailing) -> Result<(), Failure> {
        let keys = mailing.keys.clone();
        let found = mailing
            .db
            .tx(move |conn| {
                let Some((challenge, secrets)) = challenges::arm(conn, &keys, self.challenge, running.now)?
                else {
                    return Ok(None);
                };
                let standing = standing(conn, &challenge, running)?;
                Ok::<_, Failure>(Some((challenge, secrets, standing)))
            })
            .await?;
        match found {
            None => Ok(()),
            Some((challenge, secrets, Standing::Free)) => {
                confirmation::send(mailing, &running, &challenge, &secrets).await
            }
            Some((challenge, _, standing)) => notice::occupied(mailing, &running, &challenge, standing).await,
        }
    }
}

/// Who else has an address.
#[derive(Clone, Copy)]
pub(super) enum Standing {
    Free,
    Account,
    /// It was an account's until lately, and may become it again.
    Reserved,
}

/// Who has the address of a challenge, apart from the challenge's own user.
pub(super) fn standing(
    conn: &mut PgConnection,
    challenge: &Challenge,
    running: Running,
) -> QueryResult<Standing> {
    let other = |id| Some(id) != challenge.user();
    let email = EmailAddress::parse(&challenge.email);
    let account = email.map(|email| users::find_account_of(conn, &email)).transpose()?.flatten();
    if account.is_some_and(|account| other(account.id)) {
        return Ok(Standing::Account);
    }
    let reserved = challenges::is_reserved(conn, &challenge.email_canonical, challenge.user(), running.now)?;
    Ok(if reserved { Standing::Reserved } else { Standing::Free })
}
