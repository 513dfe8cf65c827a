//! A real PostgreSQL for the whole run, and a database for each test, cloned from a template.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::{
        LazyLock,
        atomic::{AtomicU32, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use chrono::TimeDelta;
use diesel::{Connection, PgConnection, RunQueryDsl, connection::SimpleConnection, sql_query};
use mintage::{
    config::Secret,
    db::{migrate, rights},
    embedded::{Cluster, EmbeddedError},
};
use url::Url;

#[path = "statements.rs"]
mod statements;

static CLUSTER: LazyLock<Cluster> = LazyLock::new(start);
static TEMPLATE: LazyLock<()> = LazyLock::new(create_template);

extern "C" fn stop_cluster() {
    CLUSTER.stop();
}

/// libtest ends the process without dropping statics, hence the exit handler. A run that was
/// killed leaves its cluster to the next one, which adopts it.
fn start() -> Cluster {
    statements::count();
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join("postgres-api");
    let give_up_at = Instant::now() + Duration::from_mins(10);
    let cluster = loop {
        match Cluster::start(&directory) {
            Ok(cluster) => break cluster,
            // Another run of the suite; it ends.
            Err(EmbeddedError::AlreadyRunning { .. }) if Instant::now() < give_up_at => {
                thread::sleep(Duration::from_millis(500));
            }
            Err(error) => panic!("{error}"),
        }
    };
    at_exit(stop_cluster);
    cluster
}

#[expect(unsafe_code, reason = "std has no exit handlers")]
fn at_exit(handler: extern "C" fn()) {
    // SAFETY: the handler only sends a signal and waits; it is registered once.
    assert_eq!(unsafe { libc::atexit(handler) }, 0);
}

/// For a server, whose role has only the rights it needs.
fn url_of(database: &str) -> String {
    CLUSTER.url().replacen("/mintage?", &format!("/{database}?"), 1)
}

/// For the owner, who makes the tables.
fn owner_url_of(database: &str) -> String {
    CLUSTER.owner_url().replacen("/mintage?", &format!("/{database}?"), 1)
}

/// To the superuser's own database.
fn administer() -> PgConnection {
    let url = CLUSTER.admin_url().replacen("/mintage?", "/postgres?", 1);
    PgConnection::establish(&url).expect("the cluster answers")
}

fn create_template() {
    let mut conn = administer();
    conn.batch_execute("ALTER SYSTEM SET synchronous_commit = off").expect("setting");
    conn.batch_execute("SELECT pg_reload_conf()").expect("reload");
    for database in leftovers(&mut conn) {
        drop_database(&mut conn, &database);
    }
    conn.batch_execute("CREATE DATABASE template_mintage OWNER mintage_owner").expect("template");
    let mut template =
        PgConnection::establish(&owner_url_of("template_mintage")).expect("the template answers");
    migrate::run(&mut template).expect("migrations");
    let left = rights::grant(&mut template, "mintage_server").expect("rights");
    assert!(left.is_empty(), "{left:?}");
}

/// Databases of a run that was killed.
fn leftovers(conn: &mut PgConnection) -> Vec<String> {
    #[derive(diesel::QueryableByName)]
    struct Row {
        #[diesel(sql_type = diesel::sql_types::Text)]
        datname: String,
    }
    let query =
        "SELECT datname::text FROM pg_database WHERE datname LIKE 'test\\_%' OR datname = 'template_mintage'";
    let rows: Vec<Row> = sql_query(query).load(conn).expect("databases");
    rows.into_iter().map(|row| row.datname).collect()
}

fn drop_database(conn: &mut PgConnection, name: &str) {
    conn.batch_execute(&format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)")).expect("drop");
}

#[track_caller]
fn count(conn: &mut PgConnection, query: &str) -> i64 {
    #[derive(diesel::QueryableByName)]
    struct Row {
        #[diesel(sql_type = diesel::sql_types::BigInt)]
        count: i64,
    }
    sql_query(query).get_result::<Row>(conn).expect("a count").count
}

/// One test's database; dropped with it.
pub struct Database {
    name: String,
}

impl Database {
    /// With all migrations.
    pub fn create() -> Self {
        Self::from("template_mintage")
    }

    pub fn empty() -> Self {
        Self::from("template0")
    }

    fn from(template: &str) -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        LazyLock::force(&TEMPLATE);
        let name = format!("test_{}", NUMBER.fetch_add(1, Ordering::Relaxed));
        let mut conn = administer();
        let create = format!("CREATE DATABASE {name} TEMPLATE {template} OWNER mintage_owner");
        conn.batch_execute(&create).expect("database");
        // The rights on a database itself are not copied from its template.
        conn.batch_execute(&format!("REVOKE TEMPORARY ON DATABASE {name} FROM PUBLIC")).expect("rights");
        Self { name }
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    /// For a server.
    pub fn url(&self) -> Secret {
        Secret::new(url_of(&self.name))
    }

    /// For a role of the test.
    pub fn url_of(&self, role: &Role) -> Secret {
        let mut url = Url::parse(self.url().expose()).expect("URL");
        let host = url.query_pairs().find(|(name, _)| name == "host").expect("host").1.into_owned();
        url.query_pairs_mut().clear().append_pair("host", &host);
        // libpq decodes %20 only.
        let user =
            url::form_urlencoded::byte_serialize(role.0.as_bytes()).collect::<String>().replace('+', "%20");
        Secret::new(format!("{url}&user={user}"))
    }

    /// For migrations.
    pub fn owner_url(&self) -> Secret {
        Secret::new(owner_url_of(&self.name))
    }

    /// As [`Database::url`], over TCP, by what forwards from there to [`Database::socket`].
    pub fn url_by(&self, address: SocketAddr) -> Secret {
        Secret::new(format!(
            "postgresql://mintage_server@{address}/{}?sslmode=disable&gssencmode=disable",
            self.name
        ))
    }

    /// Where PostgreSQL listens.
    pub fn socket() -> PathBuf {
        let url = Url::parse(CLUSTER.url().as_str()).expect("URL");
        let directory = url.query_pairs().find(|(name, _)| name == "host").expect("host").1.into_owned();
        Path::new(&directory).join(".s.PGSQL.5432")
    }

    /// On connections that are opened from now on, `clock_timestamp()` is what [`Database::move_clock`] says.
    pub fn make_clock_movable(&self) {
        self.connect()
            .batch_execute(&format!("ALTER DATABASE {} SET search_path = public, pg_catalog", self.name))
            .expect("a search path");
        self.move_clock(TimeDelta::zero());
    }

    /// From now on the clock is ahead of the right time by this much.
    pub fn move_clock(&self, by: TimeDelta) {
        self.connect()
            .batch_execute(&format!(
                "CREATE OR REPLACE FUNCTION public.clock_timestamp() RETURNS timestamptz LANGUAGE sql VOLATILE \
                 AS $$ SELECT pg_catalog.clock_timestamp() + interval '{} seconds' $$",
                by.num_seconds()
            ))
            .expect("a function");
    }

    /// How many statements of this process have ended here so far.
    pub fn statements(&self) -> usize {
        self.statements_with("")
    }

    /// As [`Database::statements`], of those whose text contains `part`. A test which shows that nothing happens waits until
    /// the statement which would begin it has ended so many times.
    pub fn statements_with(&self, part: &str) -> usize {
        statements::on(self.url().expose(), part)
    }

    /// The number that a query returns as `count`.
    #[track_caller]
    pub fn count(&self, query: &str) -> i64 {
        count(&mut self.connect(), query)
    }

    /// How many connections wait for a lock that another one holds.
    pub fn waiting_for_locks(&self) -> i64 {
        count(
            &mut self.connect_as_superuser(),
            "SELECT count(*) FROM pg_stat_activity \
             WHERE datname = current_database() AND wait_event_type = 'Lock'",
        )
    }

    /// As the owner.
    pub fn connect(&self) -> PgConnection {
        PgConnection::establish(self.owner_url().expose()).expect("the database answers")
    }

    /// As the superuser, who sees what the connections of others do.
    pub fn connect_as_superuser(&self) -> PgConnection {
        let url = CLUSTER.admin_url().replacen("/mintage?", &format!("/{}?", self.name), 1);
        PgConnection::establish(&url).expect("the database answers")
    }

    /// As the role of the server.
    pub fn connect_as_server(&self) -> PgConnection {
        PgConnection::establish(self.url().expose()).expect("the database answers")
    }

    /// Refuses connections and cuts the open ones, as an outage does.
    pub fn go_away(&self) {
        self.set_allowed(false);
        self.cut_connections();
    }

    /// Cuts the open ones.
    pub fn cut_connections(&self) {
        let mut conn = administer();
        sql_query("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1")
            .bind::<diesel::sql_types::Text, _>(&self.name)
            .execute(&mut conn)
            .expect("terminate");
    }

    pub fn come_back(&self) {
        self.set_allowed(true);
    }

    fn set_allowed(&self, allowed: bool) {
        self.administer(&format!("ALLOW_CONNECTIONS {allowed}"));
    }

    /// An option of `ALTER DATABASE`.
    pub fn administer(&self, option: &str) {
        let alter = format!("ALTER DATABASE {} {option}", self.name);
        administer().batch_execute(&alter).expect("alter");
    }
}

/// A role of the cluster; dropped with it. Make it before the database in which it gets rights.
pub struct Role(pub String);

impl Role {
    /// With options of `CREATE ROLE`.
    pub fn create(name: &str, options: &str) -> Self {
        let role = Self(name.to_owned());
        role.drop_now();
        let create = format!("CREATE ROLE {} LOGIN {options}", role.quoted());
        administer().batch_execute(&create).expect("a role");
        role
    }

    fn quoted(&self) -> String {
        format!("\"{}\"", self.0.replace('"', "\"\""))
    }

    fn drop_now(&self) {
        LazyLock::force(&TEMPLATE);
        let drop = format!("DROP ROLE IF EXISTS {}", self.quoted());
        administer().batch_execute(&drop).expect("no role");
    }
}

impl Drop for Role {
    fn drop(&mut self) {
        if !thread::panicking() {
            self.drop_now();
        }
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        drop_database(&mut administer(), &self.name);
    }
}
