//! Decides who may get an account, by `REGISTRATION` and `REGISTRATION_DOMAINS`.
//!
//! The decision depends on the settings and the given address only, so it reveals no account.

use crate::{
    config::{Registration, RegistrationMode},
    http::{Problem, kind},
    users::EmailAddress,
};

/// Whether a person may register with this address.
///
/// # Errors
/// `registration-closed`, `email-domain-not-allowed`.
pub(super) fn check_registration(settings: &Registration, email: &EmailAddress) -> Result<(), Problem> {
    match settings.mode {
        RegistrationMode::Open => check_domain(settings, email, "/email"),
        RegistrationMode::Invitation => {
            Err(Problem::new(&kind::REGISTRATION_CLOSED).detail("accounts are made by invitation only"))
        }
        RegistrationMode::Closed => Err(closed()),
    }
}

/// Whether an admin may invite people. They may have an address of any domain, because the admin has chosen it.
///
/// # Errors
/// `registration-closed`.
pub(super) fn check_invitation(settings: &Registration) -> Result<(), Problem> {
    match settings.mode {
        RegistrationMode::Open | RegistrationMode::Invitation => Ok(()),
        RegistrationMode::Closed => Err(closed()),
    }
}

/// Whether an account may get this address, which is in the field at `pointer`.
///
/// # Errors
/// `email-domain-not-allowed`.
pub(super) fn check_domain(
    settings: &Registration,
    email: &EmailAddress,
    pointer: &'static str,
) -> Result<(), Problem> {
    if settings.allows_domain(email.domain()) {
        return Ok(());
    }
    let message = "must be an address of a domain that this service accepts";
    Err(Problem::new(&kind::EMAIL_DOMAIN_NOT_ALLOWED).field(pointer, "domain", message))
}

fn closed() -> Problem {
    Problem::new(&kind::REGISTRATION_CLOSED).detail("no accounts are made")
}
