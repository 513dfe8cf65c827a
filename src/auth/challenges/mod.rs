//! Challenges: each is answered once, with the token of a mailed link or with a mailed code.
//!
//! 1. The transaction that requires a proof opens a challenge ([`open`]).
//! 2. The job that mails it arms it ([`arm`]): it makes the secrets, and their lifetime begins.
//! 3. A request sends the token ([`find_by_token`]) or the code ([`try_code`]), and [`consume`] uses the challenge up.
//!
//! A change that makes a challenge pointless (a reset, an undone change, a deleted account) deletes its row
//! ([`cancel`]). The job then finds nothing to mail.

mod code;
mod ending;
mod mailing;
mod model;
mod proving;
mod secrets;

pub use self::{
    code::CodeForm,
    ending::{cancel, cancel_after, cancel_all, find_reserved, forget, is_reserved, prune, release},
    mailing::{NewChallenge, arm, open, open_for_session, open_in_turn, was_opened},
    model::{Challenge, Purpose, Subject},
    proving::{Attempt, Owner, consume, find_by_token, hand_over, is_consumed, lock_all, try_code},
    secrets::{ChallengeKeys, Secrets},
};
