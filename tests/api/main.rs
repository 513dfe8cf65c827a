//! Black-box tests: HTTP to the real server on a real port with a real PostgreSQL.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

mod alerts;
mod authorization;
mod coin_charts;
mod coin_history;
mod coin_list;
mod coin_stream;
mod coin_sync;
mod coins;
mod command_line;
mod configuration;
mod confirmation;
mod connections;
mod email_change;
mod embedded;
mod forwarded;
mod input;
mod jobs;
mod jwt_attacks;
mod keys;
mod lock_out;
mod login;
mod logout;
mod mail;
mod market;
mod metrics;
mod outage;
mod pages;
mod password_change;
mod password_reset;
mod pre_hijacking;
mod rate_limits;
mod refresh;
mod refresh_reuse;
mod register;
mod repeated_secrets;
mod replicas;
mod sessions;
mod social;
mod social_sources;
mod system;
mod user;
mod users;
mod watchlist;
