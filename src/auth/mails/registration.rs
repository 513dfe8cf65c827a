//! Sends the mail that confirms a registration.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{MailContext, address_in_use::arm_unless_in_use, confirmation};
use crate::jobs::{Failure, Job, Running};

/// Mails a link and a code after `POST /auth/register` if the server requires confirmation, or a notice if an account
/// has the address.
#[derive(Serialize, Deserialize)]
pub struct RegistrationMail {
    pub challenge: Uuid,
}

impl Job for RegistrationMail {
    const KIND: &'static str = "mail-registration";
    type Context = MailContext;

    async fn run(self, running: Running, context: &MailContext) -> Result<(), Failure> {
        match arm_unless_in_use(context, &running, self.challenge).await? {
            None => Ok(()),
            Some((challenge, secrets)) => {
                confirmation::send(context, &running, &challenge, &secrets, challenge.created_at).await
            }
        }
    }
}
