//! What every test uses: a server of its own on a database of its own, and clients by role.

mod app;
mod client;
mod contract;
mod postgres;
pub mod upstream;

pub use self::{
    app::{App, PASSWORD},
    client::{Client, Response},
    postgres::Database,
};
