//! Reads the settings of registration and confirmation.

use super::{MailTransport, env::Env};

/// How accounts come to be.
#[derive(Clone, Copy, Debug)]
pub struct Accounts {
    /// Whether a registration becomes an account only when its address is confirmed.
    pub require_confirmation: bool,
    /// Whether an account that is there without is asked by mail to confirm its address: where
    /// mails go out to people, not to a file or the console.
    pub invite_confirmation: bool,
}

impl Accounts {
    pub(super) fn read(env: &mut Env, transport: &MailTransport) -> Self {
        let mails_go_out = matches!(transport, MailTransport::Smtp(_));
        let require_confirmation = env.switch("REQUIRE_CONFIRMATION", mails_go_out);
        if require_confirmation && matches!(transport, MailTransport::Off) {
            env.wrong("REQUIRE_CONFIRMATION", "off without a MAIL_SERVER, since nobody could confirm");
        }
        env.warn_if(
            !require_confirmation,
            "REQUIRE_CONFIRMATION is off: anyone can make an account with an address that is not theirs",
        );
        Self { require_confirmation, invite_confirmation: mails_go_out && !require_confirmation }
    }
}
