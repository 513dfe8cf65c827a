//! Mintage: accounts, JWTs, sessions, user management and a `/coins` market API on PostgreSQL.
//!
//! The map of the source. A room is a directory or file directly below `src`. It may import only rooms **below** it in
//! this list (`tests/architecture` enforces this):
//!
//! | room | what is in it |
//! |---|---|
//! | [`cli`] | the command line: `serve`, `migrate`, `create-admin`, `keys`, … |
//! | [`app`] | the wiring: services, routes, the OpenAPI document, background tasks, start and stop |
//! | [`home`] | the start page, the version, the icon |
//! | [`auth`] | ways in and out: registration, log-in, sessions, confirmation, recovery, their mails and pages |
//! | [`coins`] | the `/coins` API, read from memory: lists, history, charts, streams, watch lists, alerts |
//! | [`market`] | where coins come from: providers, currencies, the sync, snapshots and their history |
//! | [`social`] | posts about coins: sources, scoring, summaries |
//! | [`upstream`] | calls to other services: bounds, back-off, budgets, outcomes |
//! | [`sentiment`] | scores of texts and their statistics: VADER, language; pure functions |
//! | [`simulation`] | an invented market and posts about it; pure functions |
//! | [`pages`] | the small pages behind links in mails, for products without a frontend |
//! | [`pictures`] | profile pictures: checked, scaled and re-encoded; served by the hash of their content |
//! | [`users`] | accounts: reading and changing the own one, administration, limits on guessing |
//! | [`mail`] | how mails are built and how they leave: SMTP, files, the console |
//! | [`jobs`] | work that outlives a request: a queue in PostgreSQL, its worker, schedules |
//! | [`audit`] | the audit trail: security events, hash-chained |
//! | [`idempotency`] | responses that are repeated by `Idempotency-Key` |
//! | [`tokens`] | signing keys, JWTs, sessions, the blocklist, API keys, the extractors |
//! | [`passwords`] | bcrypt on its own bounded threads, and the password policy |
//! | [`limits`] | rate limits of requests, which servers share, and budgets in PostgreSQL |
//! | [`http`] | problem details, extractors, paging, ETags, client address |
//! | [`embedded`] | a private PostgreSQL cluster for `mintage serve` without a `DATABASE_URL` |
//! | [`db`] | the pool and its bounds, migrations, `LISTEN`, the generated schema |
//! | [`storage`] | files in a directory or an S3 bucket |
//! | [`tasks`] | background tasks, which are restarted after a panic |
//! | [`telemetry`] | logs and the formats of metrics |
//! | [`config`] | typed settings; the only reader of the environment |
//! | [`clock`] | the current time, as a parameter |
//!
//! One action is one file: request, response, OpenAPI and handler. A room's `mod.rs` is its table of contents. SQL takes
//! `&mut PgConnection` and stands next to what it stores, usually in `store.rs`; handlers contain none.

pub mod app;
pub mod audit;
pub mod auth;
pub mod cli;
pub mod clock;
pub mod coins;
pub mod config;
pub mod db;
pub mod embedded;
pub mod home;
pub mod http;
pub mod idempotency;
pub mod jobs;
pub mod limits;
pub mod mail;
pub mod market;
pub mod pages;
pub mod passwords;
pub mod pictures;
pub mod sentiment;
pub mod simulation;
pub mod social;
pub mod storage;
pub mod tasks;
pub mod telemetry;
pub mod tokens;
pub mod upstream;
pub mod users;
