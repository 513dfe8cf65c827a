//! Stores snapshots, coins, history and slots: the SQL of the market, one file per subject.

mod backfill;
mod catalogue;
mod find;
mod global;
mod history;
mod identity;
mod past;
mod prune;
mod publish;
mod simulation;
mod slots;
mod snapshots;
mod social;
mod sparklines;

pub use self::{
    backfill::{Backfill, BackfillSource, Outcome, claim_backfill, end_backfill, insert_past, past_service},
    catalogue::{
        CatalogueClaim, FoundCoin, adopt_coin, catalogue_service, claim_catalogue, find_ref, parts,
        put_catalogue, retain_catalogue, search_catalogue,
    },
    find::{find_coin, find_coins},
    global::{Basis, claim_global, global, postpone_global, save_global},
    history::roll_up,
    identity::ids_at,
    past::PastOfWorld,
    prune::prune,
    publish::{announce, is_older, publish},
    simulation::{
        begin as begin_simulation, clear as clear_simulation, clear_late_posts, is_simulated, stored_world,
    },
    slots::{Claim, SlotRow, claim, last_slots, make_due, postpone, release, renew, request},
    snapshots::{last_rates, latest},
    social::{add_social, listed, newest_real, social_targets},
};
pub use self::{
    history::{Point, Step, history, newest_data},
    snapshots::{ensure_demo, has_real, time_of},
};

/// The NOTIFY channel on which each publication is announced.
pub const CHANNEL: &str = "mintage_coins";
