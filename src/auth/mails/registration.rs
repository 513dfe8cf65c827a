use diesel::{PgConnection, QueryResult};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{
    Mailing, confirmation,
    notice::{self, Occupied},
};
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
                let occupied = occupied(conn, &challenge, running)?;
                Ok::<_, Failure>(Some((challenge, secrets, occupied)))
            })
            .await?;
        match found {
            None => Ok(()),
            Some((challenge, secrets, None)) => {
                confirmation::send(mailing, &running, &challenge, &secrets, challenge.created_at).await
            }
            Some((challenge, _, Some(occupied))) => {
                notice::send_occupied(mailing, &running, &challenge, occupied).await
            }
        }
    }
}

/// Whether somebody else than the challenge's own user has its address.
pub(super) fn occupied(
    conn: &mut PgConnection,
    challenge: &Challenge,
    running: Running,
) -> QueryResult<Option<Occupied>> {
    let other = |id| Some(id) != challenge.user();
    let email = EmailAddress::parse(&challenge.email);
    let account = email.map(|email| users::find_account_of(conn, &email)).transpose()?.flatten();
    if account.is_some_and(|account| other(account.id)) {
        return Ok(Some(Occupied::ByAccount));
    }
    let reserved = challenges::is_reserved(conn, &challenge.email_canonical, challenge.user(), running.now)?;
    Ok(reserved.then_some(Occupied::UntilLately))
}
