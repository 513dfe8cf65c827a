//! Settings of registration and deletion.

use std::time::Duration;

use chrono::TimeDelta;

use super::{MailTransport, env::Env, registration::Registration};

const DAY: Duration = Duration::from_hours(24);

/// How accounts are registered and deleted.
#[derive(Clone, Debug)]
pub struct Accounts {
    pub registration: Registration,
    /// Whether an address has to be confirmed before the account is created.
    pub require_confirmation: bool,
    /// Whether accounts that are created without confirmation get a mail to confirm their address: if mails are sent by
    /// SMTP.
    pub invite_confirmation: bool,
    /// How long security events are kept.
    pub audit_retention: TimeDelta,
    /// Whether a log-in from a new device is mailed.
    pub login_alerts: bool,
    /// How long a device that is no longer used stays known.
    pub device_retention: TimeDelta,
    /// How long jobs that have failed for good are kept.
    pub failed_job_retention: TimeDelta,
    /// How long a registration can be confirmed.
    pub registration_retention: TimeDelta,
    /// How long a deleted account can be restored.
    pub deletion_grace: TimeDelta,
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
        let retention = env.duration("AUDIT_RETENTION", 400 * DAY, 30 * DAY..=3650 * DAY);
        let grace = env.duration("ACCOUNT_DELETION_GRACE", 14 * DAY, Duration::ZERO..=365 * DAY);
        let failed_jobs = env.duration("FAILED_JOB_RETENTION", 30 * DAY, DAY..=365 * DAY);
        let registrations = env.duration("REGISTRATION_RETENTION", 7 * DAY, DAY..=30 * DAY);
        let devices = env.duration("LOGIN_DEVICE_RETENTION", 90 * DAY, DAY..=3650 * DAY);
        Self {
            registration: Registration::read(env, require_confirmation),
            login_alerts: env.switch("LOGIN_ALERTS", true),
            failed_job_retention: TimeDelta::from_std(failed_jobs).expect("a year at most"),
            registration_retention: TimeDelta::from_std(registrations).expect("days"),
            device_retention: TimeDelta::from_std(devices).expect("ten years at most"),
            require_confirmation,
            audit_retention: TimeDelta::from_std(retention).expect("ten years at most"),
            deletion_grace: TimeDelta::from_std(grace).expect("a year at most"),
            invite_confirmation: mails_go_out && !require_confirmation,
        }
    }
}
