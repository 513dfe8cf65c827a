//! API keys, with which programs act for a user.
//!
//! - [`NewSecret`]: the form of a key, which secret scanners recognise;
//! - [`Scope`], [`Permission`]: what a key allows;
//! - [`ApiKeys`]: the keys that were verified lately, in memory, and the counts of their requests;
//! - the functions: the rows in the database.

mod scope;
mod secret;
mod store;
mod usage;
mod view;

pub use self::secret::parse as digest_of;
pub(super) use self::store::find;
pub use self::{
    scope::{
        AlertsRead, AlertsWrite, CoinsRead, Permission, PortfolioRead, PortfolioWrite, ProfileRead, Scope,
        Scopes, WatchlistRead, WatchlistWrite,
    },
    secret::{Digest, NewSecret, PREFIX},
    store::{
        ApiKey, DayOfUse, MAX_KEYS, NewKey, RevokedKeys, VerifiedKey, count, insert, list, prune, revoke,
        revoke_all, revoke_every, revoke_found, revoke_those_for_admins, usage,
    },
    usage::{BATCH, Use, store as store_usage},
    view::{ApiKeys, Before},
};
