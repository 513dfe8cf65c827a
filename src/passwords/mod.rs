//! Passwords: the policy, and bcrypt on threads of its own.
//!
//! What bcrypt hashes is `base64(HMAC-SHA-256("mintage password v1", password))`: bcrypt itself
//! would ignore all after 72 bytes and stop at a NUL. The HMAC's key is no secret; it keeps
//! digests that leaked elsewhere from being tried against our hashes.

mod hasher;
mod policy;

use std::time::Duration;

pub use self::{
    hasher::{Hasher, Place, Verdict},
    policy::{Policy, check},
};
use crate::http::RateLimit;

/// Guesses at the password of one account, whoever makes them.
pub const ATTEMPTS: RateLimit =
    RateLimit { name: "password attempts", burst: 20, every: Duration::from_secs(15) };
