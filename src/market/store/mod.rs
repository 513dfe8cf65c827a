//! Stores snapshots, coins, history and slots: the SQL of the market, one file per subject.

mod history;
mod identity;
mod named;
mod prune;
mod publish;
mod slots;
mod snapshots;
mod social;

pub use self::{
    history::roll_up,
    named::named,
    prune::prune,
    publish::{complete, is_older, publish},
    slots::{Claim, SlotRow, claim, last_slots, make_due, postpone, release, renew, request},
    snapshots::{last_rates, latest},
    social::{add_social, social_targets},
};
pub use self::{
    history::{Point, Step, history},
    snapshots::ensure_demo,
};

/// The NOTIFY channel on which each publication is announced.
pub const CHANNEL: &str = "mintage_coins";
