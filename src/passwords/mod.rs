//! Passwords: the policy, and bcrypt on threads of its own.
//!
//! What bcrypt hashes is `base64(HMAC-SHA-256("mintage password v1", password))`: bcrypt itself
//! would ignore all after 72 bytes and stop at a NUL. The HMAC's key is no secret; it keeps
//! digests that leaked elsewhere from being tried against our hashes.

mod hasher;
mod policy;
mod queue;

pub use self::{
    hasher::{HashPermit, Hasher, Verdict},
    policy::{Policy, check},
};
