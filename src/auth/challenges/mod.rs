//! Challenges: what a person proves by mail, once, with the token of a link or with a code.
//!
//! 1. The transaction that asks for a proof opens a challenge ([`open`]).
//! 2. The job that mails it arms it ([`arm`]): only then are there secrets to guess, and their time begins.
//! 3. A request shows the token ([`find_by_token`]) or the code ([`try_code`]), and [`consume`] uses it up.
//!
//! What makes a challenge pointless meanwhile (a reset, an undone change, a deleted account) deletes the row
//! ([`cancel`]); the job then finds nothing to mail.

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
