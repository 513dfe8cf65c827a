//! A server of the test, in this process.

use std::{
    collections::HashMap,
    path::PathBuf,
    sync::{
        Arc, LazyLock,
        atomic::{AtomicU32, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use actix_web::rt::System;
use chrono::{DateTime, NaiveTime, TimeDelta, Utc};
use diesel::{PgConnection, RunQueryDsl, sql_query, sql_types::Uuid as SqlUuid};
use mintage::{
    app::{self, Server},
    clock::Clock,
    config::{Config, Secret, SecretKey},
};
use serde_json::json;
use tokio::sync::oneshot;
use uuid::Uuid;

use super::{Mailbox, ParsedMail, PathToDatabase, client::Client, eventually, postgres::Database, secrets};

pub const PASSWORD: &str = "correct horse battery staple";
/// `PUBLIC_URL` of the servers of the suite.
pub const PUBLIC_URL: &str = "http://mintage.test";

/// The secret key of every server of the suite.
pub const SECRET_KEY: &str = "a secret key for the tests: 0123456789";

/// The least that production requires, with the embedded database.
pub const PRODUCTION: &[(&str, &str)] = &[
    ("PROFILE", "production"),
    ("SECRET_KEY", "kJ9vQ2xT7mB4nL8pR3sW6yZ1cF5hD0gA+eU/iO2tKqM="),
    ("PUBLIC_URL", "https://mintage.test"),
    ("EMBEDDED_DATABASE", "on"),
    ("BCRYPT_COST", "10"),
    ("DRAIN_DELAY", "0s"),
];

const SETTINGS: [(&str, &str); 12] = [
    ("BIND", "127.0.0.1:0"),
    ("PUBLIC_URL", PUBLIC_URL),
    ("BCRYPT_COST", "4"),
    ("RATE_LIMITS", "off"),
    ("DATABASE_POOL_SIZE", "5"),
    ("WORKERS", "2"),
    // No service outside is called.
    ("COINS_PROVIDERS", "demo"),
    // Tests count the calls of providers.
    ("COINS_BACKFILL", "off"),
    ("COINS_CATALOGUE", "off"),
    ("COINS_GLOBAL", "off"),
    ("FEAR_AND_GREED_URL", "off"),
    ("SOCIAL_PROVIDERS", "none"),
];

/// A clock that showed noon (UTC) when the suite began: budgets, slots and points end with the day or the hour, which
/// then does not happen in the middle of a test.
pub fn noon() -> Clock {
    static AHEAD: LazyLock<Duration> = LazyLock::new(|| {
        let now: DateTime<Utc> = Clock::default().now();
        let noon = NaiveTime::from_hms_opt(12, 0, 0).expect("a time");
        let ahead = noon - now.time();
        let ahead = if ahead < TimeDelta::zero() { ahead + TimeDelta::days(1) } else { ahead };
        ahead.to_std().expect("less than a day")
    });
    let clock = Clock::default();
    clock.advance(*AHEAD);
    clock
}

/// Moves the clock to the next multiple of so many minutes: what changes with the minute
/// then stays as it is for a while.
pub fn begin_minutes(clock: &Clock, minutes: u64) {
    let length = minutes * 60 * 1_000_000;
    let gone = clock.now().timestamp_micros().unsigned_abs() % length;
    clock.advance(Duration::from_micros(length - gone));
}

/// A running server. Dropping it stops the server and drops its database.
pub struct App {
    pub base: String,
    /// The URL of its metrics, with `METRICS_BIND`.
    pub metrics: Option<String>,
    pub clock: Clock,
    mailbox: Arc<Mailbox>,
    settings: HashMap<String, String>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
    path: Option<PathToDatabase>,
    // Dropped after the server, which uses it, by the last replica.
    database: Arc<Database>,
    /// Where the log was at its start.
    log_from: usize,
}

impl App {
    pub fn start() -> Self {
        Self::with(&[])
    }

    /// With these settings in addition to those of the suite.
    pub fn with(settings: &[(&str, &str)]) -> Self {
        Self::at(noon(), settings)
    }

    /// As [`App::with`], with this clock.
    pub fn at(clock: Clock, settings: &[(&str, &str)]) -> Self {
        Self::create(Database::create(), clock, settings, false)
    }

    /// As [`App::with`], with a path to the database that can fail: see [`App::path`].
    pub fn with_path(settings: &[(&str, &str)]) -> Self {
        Self::create(Database::create(), noon(), settings, true)
    }

    fn create(database: Database, clock: Clock, settings: &[(&str, &str)], with_path: bool) -> Self {
        let mailbox = Mailbox::new();
        let directory = mailbox.directory();
        let storage = format!("{directory}/storage");
        let mail =
            [("MAIL_TRANSPORT", "file"), ("MAIL_DIR", directory.as_str()), ("STORAGE_URL", storage.as_str())];
        let all = SETTINGS.iter().chain(&mail).chain(settings);
        let settings = all.map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let path = with_path.then(|| PathToDatabase::to(Database::socket()));
        Self::launch(Arc::new(database), path, Arc::new(mailbox), settings, clock)
    }

    /// With a database whose clock can be moved: see [`Database::move_clock`].
    pub fn with_movable_database_clock() -> Self {
        let database = Database::create();
        database.make_clock_movable();
        Self::create(database, noon(), &[], false)
    }

    /// Another server on the same database, with a clock of its own.
    pub fn replica_at(&self, clock: Clock) -> Self {
        Self::launch(self.database.clone(), None, self.mailbox.clone(), self.settings.clone(), clock)
    }

    /// Another server on the same database, with the same clock.
    pub fn replica(&self) -> Self {
        self.replica_with(&[])
    }

    pub fn replica_with(&self, settings: &[(&str, &str)]) -> Self {
        let mut all = self.settings.clone();
        all.extend(settings.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        Self::launch(self.database.clone(), None, self.mailbox.clone(), all, self.clock.clone())
    }

    fn launch(
        database: Arc<Database>,
        path: Option<PathToDatabase>,
        mailbox: Arc<Mailbox>,
        settings: HashMap<String, String>,
        clock: Clock,
    ) -> Self {
        let log_from = secrets::listen();
        let lookup = |name: &str| settings.get(name).cloned();
        let mut config = Config::from_lookup(&lookup, &app::specs()).expect("settings");
        config.database.url = Some(match &path {
            Some(path) => database.url_by(path.address),
            None => database.url(),
        });
        let secret = SecretKey { current: Secret::new(SECRET_KEY), previous: None };
        let server = Server::start(config, &secret, &clock).expect("the server starts");
        let base = format!("http://{}", server.address().expect("address"));
        let metrics = server.metrics_address().map(|address| format!("http://{address}/metrics"));
        let (stop, stopped) = oneshot::channel::<()>();
        let thread = thread::spawn(move || {
            let stop = async {
                let _ = stopped.await;
            };
            System::new().block_on(server.serve(stop)).expect("the server serves");
        });
        Self {
            base,
            metrics,
            clock,
            mailbox,
            settings,
            stop: Some(stop),
            thread: Some(thread),
            path,
            database,
            log_from,
        }
    }

    pub fn database(&self) -> &Database {
        &self.database
    }

    /// The directory of its object storage.
    pub fn storage(&self) -> PathBuf {
        PathBuf::from(&self.settings["STORAGE_URL"])
    }

    /// Between this server and its database, with [`App::with_path`].
    pub fn path(&self) -> &PathToDatabase {
        self.path.as_ref().expect("started with a path")
    }

    pub fn sql(&self) -> PgConnection {
        self.database.connect()
    }

    /// As [`Database::count`].
    #[track_caller]
    pub fn count(&self, query: &str) -> i64 {
        self.database.count(query)
    }

    /// The next mail to this address that was not read yet, once it has arrived.
    pub async fn mail_to(&self, address: &str) -> ParsedMail {
        self.mailbox.next(address).await
    }

    /// All mails to this address that were not read yet, once there is nothing left to send.
    pub async fn mails_to(&self, address: &str) -> Vec<ParsedMail> {
        self.idle().await;
        self.mailbox.unread(address)
    }

    /// Waits until no job waits or runs.
    pub async fn idle(&self) {
        let query = "SELECT count(*) FROM jobs WHERE state <> 'dead'";
        eventually("an empty queue", async || self.count(query) == 0).await;
    }

    /// A client without credentials.
    pub fn anyone(&self) -> Client {
        Client::new(&self.base)
    }

    /// A client that is registered and logged in, with an address of its own.
    pub async fn user(&self) -> Client {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let email = format!("user{}@example.com", NUMBER.fetch_add(1, Ordering::Relaxed));
        self.register(&email).await;
        self.login(&email).await
    }

    /// As [`App::user`], with a confirmed address.
    pub async fn confirmed_user(&self) -> Client {
        let client = self.user().await;
        self.update_user(&client, "email_confirmed_at = now()");
        client
    }

    pub async fn admin(&self) -> Client {
        let mut client = self.user().await;
        self.update_user(&client, "role = 'admin'");
        client.refresh().await.assert(200);
        client
    }

    pub fn update_user(&self, client: &Client, assignment: &str) {
        let id: Uuid = client.id.parse().expect("id");
        let update = sql_query(format!("UPDATE users SET {assignment} WHERE id = $1"));
        assert_eq!(update.bind::<SqlUuid, _>(id).execute(&mut self.sql()).expect("update"), 1);
    }

    pub async fn register(&self, email: &str) {
        let body = json!({"email": email, "password": PASSWORD});
        self.anyone().post("/api/v1/auth/register", &body).await.assert(201);
    }

    pub async fn login(&self, email: &str) -> Client {
        let mut client = self.anyone();
        let body = json!({"email": email, "password": PASSWORD});
        let pair = client.post("/api/v1/auth/login", &body).await.assert(200).json();
        client.take(&pair);
        let user = client.get("/api/v1/user").await.assert(200).json();
        user["id"].as_str().expect("id").clone_into(&mut client.id);
        email.clone_into(&mut client.email);
        client
    }
}

impl Drop for App {
    fn drop(&mut self) {
        drop(self.stop.take());
        // Statements that hang there would keep the threads of the server.
        drop(self.path.take());
        let ended = self.thread.take().expect("dropped once").join();
        if !thread::panicking() {
            ended.expect("the server ended well");
            let leaked = secrets::leaked(&self.base, self.log_from);
            assert!(leaked.is_empty(), "secrets are in the log: {leaked:#?}");
        }
    }
}
