//! Settings of the limits on requests, guesses and mails.

use std::time::Duration;

use super::env::Env;

/// In both parts of a limit.
const MAX_BURST: u32 = 1_000_000;
const MIN_EVERY: Duration = Duration::from_millis(1);
const MAX_EVERY: Duration = Duration::from_hours(30 * 24);
/// The time after which a used-up limit is whole again: burst times interval.
const MAX_WINDOW: Duration = Duration::from_hours(365 * 24);

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_mins(1);
const HOUR: Duration = Duration::from_hours(1);

/// A limit: `burst` at once, then one per `every`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RateLimit {
    /// Part of the name under which the use of a limit is stored: a change of it forgets what was used. Limits that
    /// responses state have a name without blanks.
    pub name: &'static str,
    pub burst: u32,
    pub every: Duration,
}

impl RateLimit {
    /// The time after which a used-up limit is whole again.
    pub fn window(&self) -> Duration {
        self.every * self.burst
    }
}

/// All limits whose numbers are settings. `RATE_LIMITS=off` lifts them.
#[derive(Clone, Debug)]
pub struct Rates {
    pub enabled: bool,
    /// Requests of one client address to endpoints that need no access token and cost a hash or a mail.
    pub auth: RateLimit,
    /// Requests of one user with access tokens, over all sessions.
    pub user: RateLimit,
    /// What one user does with the profile and API keys. Each leaves a row in the audit trail.
    pub changes: RateLimit,
    pub refresh: RateLimit,
    /// API keys from one client address that are not remembered, so that they have to be read from the database.
    pub unknown_api_keys: RateLimit,
    /// Pictures that one user sets.
    pub pictures: RateLimit,
    /// Runs of the sync that admins request, of all together.
    pub sync: RateLimit,
    /// Exports of what is stored about one user.
    pub exports: RateLimit,
    pub passwords: PasswordLimits,
    pub codes: CodeLimits,
    pub mails: MailLimits,
}

/// Wrong passwords for one account.
#[derive(Clone, Debug)]
pub struct PasswordLimits {
    pub network: RateLimit,
    /// From all networks that are new to the account.
    pub new_networks: RateLimit,
    /// From all networks that are known only by a session: a thief of its tokens can refresh it from anywhere.
    pub sessions: RateLimit,
    /// Of a user who is logged in: a thief of a token may use many networks.
    pub with_token: RateLimit,
}

/// Codes from mails.
#[derive(Clone, Debug)]
pub struct CodeLimits {
    /// Wrong codes of eight characters from one network for one mail. A network reaches this long before the limit of the
    /// mail, so strangers cannot use up the owner's attempts. It lasts longer than a code works.
    pub network: RateLimit,
    /// Codes of six digits of one user, over all mails: five for each code would otherwise add up over many codes. With 24
    /// a day at one in a million, the chance to find a code within a year is below one percent.
    pub six_digits: RateLimit,
}

/// Mails to one address.
#[derive(Clone, Debug)]
pub struct MailLimits {
    /// All kinds together, except changes of the password.
    pub all: RateLimit,
    /// Within `all`, each kind of request has a limit of its own: confirmations and changes of address, which strangers
    /// can request, leave some for the mail that an owner needs most, the one for a new password.
    pub confirmation: RateLimit,
    pub email_change: RateLimit,
    pub password_reset: RateLimit,
    /// Not counted in `all`, which strangers can use up: this mail needs an access token and the current password.
    pub password_change: RateLimit,
    /// About log-ins from new networks that were stopped.
    pub login_stopped: RateLimit,
    /// About log-ins from new devices. Counted for the account and not in `all`, so that strangers cannot use it up by
    /// requesting other mails: each of these mails needs the right password.
    pub new_device: RateLimit,
    /// About new API keys. Not counted in `all` either: it needs an access token.
    pub new_key: RateLimit,
}

impl Rates {
    pub(super) fn read(env: &mut Env) -> Self {
        let enabled = env.switch("RATE_LIMITS", true);
        env.warn_if(!enabled, "RATE_LIMITS is off: passwords and codes can be guessed without a limit");
        let mut read = |setting, name, burst, every| read(env, setting, RateLimit { name, burst, every });
        Self {
            enabled,
            auth: read("RATE_LIMIT_AUTH", "auth", 100, 3 * SECOND),
            user: read("RATE_LIMIT_USER", "user", 300, SECOND / 10),
            changes: read("RATE_LIMIT_CHANGES", "changes", 60, MINUTE),
            refresh: read("RATE_LIMIT_REFRESH", "refresh", 120, SECOND),
            unknown_api_keys: read("RATE_LIMIT_UNKNOWN_API_KEYS", "unknown-api-keys", 300, SECOND),
            pictures: read("RATE_LIMIT_PICTURES", "pictures", 20, MINUTE),
            sync: read("RATE_LIMIT_SYNC", "sync", 3, MINUTE),
            exports: read("RATE_LIMIT_EXPORTS", "data exports", 3, HOUR),
            passwords: PasswordLimits {
                network: read(
                    "RATE_LIMIT_PASSWORDS_NETWORK",
                    "wrong passwords from a network",
                    20,
                    10 * MINUTE,
                ),
                new_networks: read(
                    "RATE_LIMIT_PASSWORDS_NEW_NETWORKS",
                    "wrong passwords from new networks",
                    100,
                    24 * HOUR,
                ),
                sessions: read(
                    "RATE_LIMIT_PASSWORDS_SESSIONS",
                    "wrong passwords where sessions are",
                    200,
                    10 * MINUTE,
                ),
                with_token: read(
                    "RATE_LIMIT_PASSWORDS_TOKEN",
                    "wrong passwords with a token",
                    200,
                    10 * MINUTE,
                ),
            },
            codes: CodeLimits {
                network: read("RATE_LIMIT_CODES_NETWORK", "wrong codes from a network", 5, 15 * MINUTE),
                six_digits: read("RATE_LIMIT_CODES_SIX_DIGITS", "codes of six digits", 20, HOUR),
            },
            mails: MailLimits {
                all: read("RATE_LIMIT_MAILS", "mails", 6, 2 * HOUR),
                confirmation: read("RATE_LIMIT_MAILS_CONFIRMATION", "mails: confirmation", 3, 6 * HOUR),
                email_change: read("RATE_LIMIT_MAILS_EMAIL_CHANGE", "mails: change of address", 2, 6 * HOUR),
                password_reset: read("RATE_LIMIT_MAILS_PASSWORD_RESET", "mails: password reset", 4, 3 * HOUR),
                password_change: read(
                    "RATE_LIMIT_MAILS_PASSWORD_CHANGE",
                    "mails: password change",
                    4,
                    3 * HOUR,
                ),
                login_stopped: read("RATE_LIMIT_MAILS_LOGIN_STOPPED", "mails: log-in stopped", 1, 24 * HOUR),
                new_key: read("RATE_LIMIT_MAILS_NEW_KEY", "mails: new API key", 4, 6 * HOUR),
                new_device: read("RATE_LIMIT_MAILS_NEW_DEVICE", "mails: log-in alerts", 5, 4 * HOUR),
            },
        }
    }
}

/// Reads a limit such as `100/3s`: so many at once, then one each interval.
fn read(env: &mut Env, setting: &'static str, default: RateLimit) -> RateLimit {
    let Some(text) = env.text(setting) else {
        return default;
    };
    let limit = parse(&text).map(|(burst, every)| RateLimit { burst, every, ..default });
    limit.filter(|limit| limit.every.checked_mul(limit.burst).is_some_and(|all| all <= MAX_WINDOW)).unwrap_or_else(
        || {
            env.wrong(
                setting,
                "a limit such as 100/3s: a number from 1 to 1000000 that is allowed at once, and the interval, from \
                 1ms to 30d, after which one more is allowed; their product at most 365d",
            );
            default
        },
    )
}

fn parse(text: &str) -> Option<(u32, Duration)> {
    let (burst, every) = text.split_once('/')?;
    let (burst, every) = (burst.trim(), every.trim());
    let burst = burst.bytes().all(|byte| byte.is_ascii_digit()).then(|| burst.parse().ok())??;
    let every = humantime::parse_duration(every).ok()?;
    ((1..=MAX_BURST).contains(&burst) && (MIN_EVERY..=MAX_EVERY).contains(&every)).then_some((burst, every))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_is_a_number_and_an_interval() {
        for (text, expected) in [
            ("100/3s", Some((100, 3 * SECOND))),
            (" 1 / 24h ", Some((1, 24 * HOUR))),
            ("1000000/1ms", Some((1_000_000, MIN_EVERY))),
            ("5/1m 30s", Some((5, 90 * SECOND))),
            ("0/3s", None),
            ("1000001/3s", None),
            ("+5/3s", None),
            ("-5/3s", None),
            ("5/0s", None),
            ("5/1us", None),
            ("5/31d", None),
            ("5", None),
            ("5/", None),
            ("/3s", None),
            ("5/3", None),
            ("5/3s/1", None),
            ("99999999999/1s", None),
        ] {
            assert_eq!(parse(text), expected, "{text}");
        }
    }

    #[test]
    fn wrong_limits_are_reported_by_name_without_their_value() {
        for value in ["plenty", "0/1s", "1000000/30d"] {
            let lookup = |name: &str| (name == "RATE_LIMIT_AUTH").then(|| value.to_owned());
            let mut env = Env::new(&lookup);
            let limits = Rates::read(&mut env);
            assert_eq!((limits.auth.burst, limits.auth.every), (100, 3 * SECOND));
            let [error] = env.errors.as_slice() else { panic!("{:?}", env.errors) };
            assert!(error.starts_with("RATE_LIMIT_AUTH must be a limit such as 100/3s"), "{error}");
            assert!(!error.contains(value), "{error}");
        }
    }
}
