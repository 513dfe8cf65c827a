//! Challenges: what a person proves by mail, once, with the token of a link or with a code.
//!
//! A challenge is *opened* in the transaction that asks for it and *armed* by the job that mails
//! it; only then is there something to guess. Whatever makes it pointless meanwhile (a reset, an
//! undone change, a deleted account) deletes the row, and the job then finds nothing to mail.
//! A code is tried under a lock of the row, whose counter grows with each wrong one.

mod code;
mod ending;
mod mailing;
mod model;
mod proving;
mod secrets;

pub use self::{
    code::CodeForm,
    ending::{cancel, cancel_after, cancel_all, is_reserved, prune, release},
    mailing::{NewChallenge, arm, is_there, open, open_in_turn},
    model::{Challenge, Purpose, Subject},
    proving::{Attempt, Owner, consume, find_by_token, hand_over, is_consumed, lock_all, try_code},
    secrets::{ChallengeKeys, Secrets},
};
