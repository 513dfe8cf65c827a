//! Simulates a market and the posts about it: invented numbers that behave like real ones, for development without a
//! network and for tests of user interfaces.
//!
//! Everything is a pure function of the settings, the coin and the time ([`World`]). So all replicas and all starts give the
//! same numbers, no state is kept, and a past can be written as well as a present.

mod global;
mod noise;
mod posts;
mod prices;
mod table;
mod world;

pub use self::{
    global::WorldFigures,
    posts::{Post, PostHour},
    prices::Candle,
    world::{Past, Row, World},
};
