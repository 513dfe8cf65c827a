//! The audit trail: what happened to accounts, keys and rights, in an append-only table whose rows are hash-chained.
//!
//! 1. The transaction that does something [`record`](Event::record)s it, so an event exists if and only if it happened.
//! 2. A background task seals new events ([`seal_forever`]): it numbers them and hashes each with the one before. Sealing in the
//!    request would make all requests wait for each other.
//! 3. [`verify()`] recomputes the chain and finds what was changed, inserted or deleted since.
//!
//! What identifies a person (address, user agent, details) is hashed apart with a salt. So it can be [erased](erase_purged) with
//! the account, and the chain still holds.

mod chain;
mod event;
mod list;
mod list_mine;
mod seal;
mod store;
mod verify;

use utoipa_actix_web::service_config::ServiceConfig;

pub use self::{
    chain::{begin_if_absent, begin_if_unusable},
    event::{Actor, Event, EventKind},
    list_mine::list_of,
    seal::seal_forever,
    store::{erase_purged, prune},
    verify::{Report, verify},
};

pub fn routes(config: &mut ServiceConfig) {
    config.service(list::list_events).service(list::export_events).service(list_mine::list_my_events);
}
