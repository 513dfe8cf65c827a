//! Settings of registration.

use super::{MailTransport, env::Env};

/// How accounts are registered.
#[derive(Clone, Copy, Debug)]
pub struct Accounts {
    /// Whether an address has to be confirmed before the account is created.
    pub require_confirmation: bool,
    /// Whether accounts that are created without confirmation get a mail to confirm their address: if mails are sent by
    /// SMTP.
    pub invite_confirmation: bool,
}

impl Accounts {
    pub(super) fn read(env: &mut Env, transport: &MailTransport) -> Self {
        let mails_go_out = matches!(transport, MailTransport::Smtp(_));
        let require_confirmation = env.switch("REQUIRE_CONFIRMATION", mails_go_out);
        if require_confirmation && matches!(transport, MailTransport::Off) {
            env.wrong(
                "REQUIRE_CONFIRMATION",
                "off without a MAIL_SERVER, since no address could be confirmed",
            );
        }
        env.warn_if(
            !require_confirmation,
            "REQUIRE_CONFIRMATION is off: anyone can register with an address that is not theirs",
        );
        Self { require_confirmation, invite_confirmation: mails_go_out && !require_confirmation }
    }
}
