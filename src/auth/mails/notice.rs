use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::Mailing;
use crate::{
    jobs::{Failure, Job, Running},
    mail::{Action, Letter},
};

/// Tells of something that has happened, without any secret. It goes to the address that the
/// account had then, whatever became of it since.
#[derive(Serialize, Deserialize)]
pub struct NoticeMail {
    pub email: String,
    pub notice: Notice,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Notice {
    PasswordChanged,
    SessionReused { logged_in_at: DateTime<Utc>, user_agent: Option<String> },
}

impl Job for NoticeMail {
    const KIND: &'static str = "mail-notice";
    type Context = Mailing;

    async fn run(self, running: Running, mailing: &Mailing) -> Result<(), Failure> {
        let product = mailing.mailer.product();
        let link = mailing.page("reset-password");
        let (subject, paragraphs, label) = match self.notice {
            Notice::PasswordChanged => (
                "Your password was changed",
                vec![
                    format!(
                        "Your account at {product} has a new password, and everybody was logged out of it. \
                         If that was you, there is nothing to do."
                    ),
                    "If it was not you, choose another password at once.".into(),
                ],
                "Choose another password",
            ),
            Notice::SessionReused { logged_in_at, user_agent } => (
                "We ended a log-in to your account",
                vec![
                    format!(
                        "We ended a log-in to your account at {product}: the one of {}, last renewed by {}. \
                         The key that renews it works once, and it was used a second time.",
                        logged_in_at.format("%-d %B %Y, %H:%M UTC"),
                        device(user_agent.as_deref().unwrap_or_default())
                    ),
                    "So somebody else may have a copy of that key. It can also happen without a thief, for \
                     example when a connection breaks at the wrong moment. We cannot tell which it was, \
                     so that log-in does not work any more, for anyone. Your other log-ins go on."
                        .into(),
                    "Log in again where you need it. If this happens again, choose a new password: that \
                     ends all log-ins."
                        .into(),
                ],
                "Choose a new password",
            ),
        };
        let letter = Letter {
            subject,
            paragraphs: &paragraphs.iter().map(String::as_str).collect::<Vec<_>>(),
            action: Some(Action { label, link: &link }),
            ..Letter::default()
        };
        mailing.mailer.send_letter(&running, &self.email, &letter).await
    }
}

/// What a `User-Agent` says about the device, in our words: its own could be an advertisement or a
/// link, since anybody with a token chooses it.
fn device(user_agent: &str) -> String {
    // What comes first says more: most browsers also name others.
    const PROGRAMS: [(&str, &str); 6] = [
        ("Edg/", "Edge"),
        ("OPR/", "Opera"),
        ("Firefox/", "Firefox"),
        ("FxiOS/", "Firefox"),
        ("Chrome/", "Chrome"),
        ("Safari/", "Safari"),
    ];
    const SYSTEMS: [(&str, &str); 6] = [
        ("iPhone", "iOS"),
        ("iPad", "iOS"),
        ("Android", "Android"),
        ("Windows", "Windows"),
        ("Mac OS", "macOS"),
        ("Linux", "Linux"),
    ];
    let find = |names: &[(&str, &'static str)]| {
        names.iter().find(|(part, _)| user_agent.contains(part)).map(|(_, name)| *name)
    };
    match (find(&PROGRAMS), find(&SYSTEMS)) {
        (Some(program), Some(system)) => format!("{program} on {system}"),
        (Some(program), None) => program.to_owned(),
        (None, Some(system)) => format!("a device with {system}"),
        (None, None) => "an unknown device".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::device;

    #[test]
    fn a_device_is_named_in_our_words() {
        let chrome =
            "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 Chrome/141.0 Safari/537.36";
        let edge = format!("{chrome} Edg/141.0");
        let phone = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_7 like Mac OS X) AppleWebKit/605 Version/26.0 Safari/604.1";
        let cases = [
            (chrome, "Chrome on Windows"),
            (&edge, "Edge on Windows"),
            (phone, "Safari on iOS"),
            ("ShopApp/3 (Android 16)", "a device with Android"),
            ("Log in at https://evil.example", "an unknown device"),
            ("", "an unknown device"),
        ];
        for (user_agent, name) in cases {
            assert_eq!(device(user_agent), name);
        }
    }
}
