//! Black-box tests: HTTP to the real server on a real port with a real PostgreSQL.
//!
//! The folders mirror the rooms of `src/lib.rs`: a test stands in the folder of the room whose behaviour it checks.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

mod cli {
    mod audit;
    mod create_admin;
    mod keys;
    mod no_database;
    mod openapi_and_healthcheck;
    mod restore;
    mod users;
}
mod app {
    mod authorization;
    mod connections;
    mod metrics;
    mod outage;
    mod replicas;
    mod stopping;
    mod system;
    mod well_known;
}
mod home {
    mod start;
}
mod auth {
    mod api_key_races;
    pub mod api_keys;
    mod breached_passwords;
    mod confirmation;
    mod email_change;
    mod login;
    mod login_alerts;
    mod logout;
    mod oauth;
    mod pages;
    mod password_change;
    mod password_reset;
    mod personal_data;
    mod pre_hijacking;
    mod refresh;
    mod refresh_reuse;
    mod register;
    mod registration_rules;
    mod sessions;
}
mod coins {
    mod alert_links;
    mod alert_metrics;
    mod alerts;
    mod caching;
    mod chart;
    mod global;
    mod history;
    mod list;
    mod portfolio;
    mod sparklines;
    mod stream;
    mod trending;
    mod watchlist;
}
mod market {
    mod backfill;
    mod catalogue;
    mod coinmarketcap;
    mod currencies;
    mod failover;
    mod followed;
    mod identity;
    mod providers;
    mod rows;
    mod simulation;
    mod staleness;
    mod sync;
}
mod social {
    mod bluesky;
    mod later;
    mod rates;
    mod reading;
    mod sources;
    mod targets;
    mod x;
}
mod upstream {
    mod repeated_secrets;
}
mod users {
    mod administration;
    mod import;
    mod list;
    mod me;
}
mod pictures {
    mod bombs;
    mod caching;
    mod crowded;
    mod deletion;
    mod refused;
    mod s3;
    pub mod samples;
    mod upload;
}
mod mail {
    mod delivery;
    mod links;
    mod mailbox;
    mod process;
}
mod jobs {
    mod admin;
    mod leases;
    mod worker;
}
mod tokens {
    mod algorithms;
    mod api_keys;
    mod clocks;
    mod forge;
    mod forged;
    mod forged_contents;
    mod jwt_attacks;
    mod keys;
}
mod limits {
    mod lock_out;
    mod rate_limits;
    mod shared;
}
mod http {
    mod fields;
    mod forwarded;
    mod input;
}
mod embedded {
    mod cluster;
    mod start;
}
mod db {
    mod contagion;
    mod database_path;
    mod follow;
    mod migrations;
    mod rights;
    mod unreachable;
}
mod telemetry {
    mod injection;
    mod logging;
}
mod config {
    mod configuration;
}
mod audit {
    mod trail;
}
