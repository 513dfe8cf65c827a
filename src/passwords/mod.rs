//! Checks passwords against the policy, and hashes them with bcrypt on threads of its own.
//!
//! The input of bcrypt is `base64(HMAC-SHA-256("mintage password v1", password))`, because bcrypt itself ignores
//! everything after 72 bytes and stops at a NUL. The key of the HMAC is not a secret: it prevents that digests from
//! other leaks can be tested against our hashes.

mod foreign;
mod hasher;
mod policy;
mod queue;

pub use self::{
    foreign::{Unusable, to_store},
    hasher::{HashPermit, Hasher, UNUSABLE, Verdict},
    policy::{Policy, check},
};
