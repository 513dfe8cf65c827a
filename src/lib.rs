//! Mintage: accounts, JWTs, sessions, user management and a `/coins` market API on PostgreSQL.
//!
//! The map of the house. A module may use only those **below** it (`tests/architecture.rs`
//! enforces this):
//!
//! | room | what is in it |
//! |---|---|
//! | [`cli`] | the command line: `serve`, `migrate`, `create-admin`, `keys`, … |
//! | [`app`] | the only room that knows everything: services, routes, the OpenAPI document, serving |
//! | [`auth`] | how people get in: register, log in, refresh, log out, their sessions; what goes through their mailbox |
//! | [`upstream`] | calls to services of other people: bounds, back-off, budgets, outcomes |
//! | [`sentiment`] | scores of texts and their statistics: VADER, language; pure functions |
//! | [`users`] | who exists: self service and administration |
//! | [`coins`] | the `/coins` API, read from memory: lists, history, charts, streams, watch lists, alerts |
//! | [`market`] | where coins come from: providers, currencies, the sync, snapshots and their history |
//! | [`social`] | what people say about coins: sources, posts, summaries |
//! | [`mail`] | what mails say, how they are built, how they leave: SMTP, files, the console |
//! | [`jobs`] | work that outlives a request: a queue in PostgreSQL, its worker, schedules |
//! | [`tokens`] | signing keys, JWTs, sessions, the blocklist, the `CurrentUser` extractor |
//! | [`passwords`] | bcrypt on its own bounded threads, and the password policy |
//! | [`limits`] | how often something may be done: rate limits in memory, budgets in PostgreSQL |
//! | [`http`] | problem details, extractors, paging, ETags, client address |
//! | [`embedded`] | a private PostgreSQL cluster for `mintage serve` without a `DATABASE_URL` |
//! | [`db`] | the pool, bounds on what a request takes of it, migrations, LISTEN |
//! | [`tasks`] | background tasks: they begin anew after a panic |
//! | [`telemetry`] | logs, the text format of metrics |
//! | [`config`] | typed settings; the only reader of the environment |
//! | [`clock`] | what time it is, as a parameter |
//!
//! A capability is a folder: one action is one file, `mod.rs` is its table of contents,
//! `store.rs` its only SQL.

pub mod app;
pub mod auth;
pub mod cli;
pub mod clock;
pub mod coins;
pub mod config;
pub mod db;
pub mod embedded;
pub mod http;
pub mod jobs;
pub mod limits;
pub mod mail;
pub mod market;
pub mod passwords;
pub mod sentiment;
pub mod social;
pub mod tasks;
pub mod telemetry;
pub mod tokens;
pub mod upstream;
pub mod users;
