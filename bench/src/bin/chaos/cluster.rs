//! A private PostgreSQL that can be killed, frozen and restarted.

use std::{fs, path::PathBuf};

use anyhow::{Context, Result};
use diesel::{
    Connection, PgConnection, QueryableByName, RunQueryDsl,
    connection::SimpleConnection,
    sql_query,
    sql_types::{BigInt, Text},
};
use mintage::{
    db::{migrate, rights},
    embedded::Cluster as Embedded,
};
use mintage_bench::process::Home;
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

pub struct Cluster {
    home: Home,
    /// None while it is killed.
    running: Option<Embedded>,
    urls: Urls,
}

struct Urls {
    server: String,
    superuser: String,
}

#[derive(QueryableByName)]
struct Number {
    #[diesel(sql_type = BigInt)]
    number: i64,
}

impl Cluster {
    pub fn start() -> Result<Self> {
        let home = Home::new()?;
        let running = Embedded::start(&home.0)?;
        let mut owner = PgConnection::establish(&running.owner_url())?;
        migrate::run(&mut owner)?;
        rights::grant(&mut owner, "mintage_server")?;
        let urls = Urls { server: running.url(), superuser: running.admin_url() };
        Ok(Self { home, running: Some(running), urls })
    }

    /// The URL for a server, over the socket.
    pub fn url(&self) -> &str {
        &self.urls.server
    }

    /// The path of the socket, for a proxy.
    pub fn socket(&self) -> Result<PathBuf> {
        let host = self.urls.server.split("host=").nth(1).and_then(|rest| rest.split('&').next());
        let host = host.context("a URL with a directory")?.replace("%2F", "/");
        Ok(PathBuf::from(host).join(".s.PGSQL.5432"))
    }

    /// Kills it with SIGKILL, as the kernel does when memory runs out.
    pub fn kill(&mut self) -> Result<()> {
        self.signal(Signal::SIGKILL)?;
        let running = self.running.take().context("it runs")?;
        // This also reaps the process.
        while running.is_running() {
            std::thread::yield_now();
        }
        Ok(())
    }

    /// Starts it, and returns when it accepts connections.
    pub fn start_again(&mut self) -> Result<()> {
        self.running = Some(Embedded::start(&self.home.0)?);
        Ok(())
    }

    pub fn freeze(&self) -> Result<()> {
        self.signal(Signal::SIGSTOP)
    }

    pub fn thaw(&self) -> Result<()> {
        self.signal(Signal::SIGCONT)
    }

    /// Signals the postmaster first, so that it starts no more children in the meantime.
    fn signal(&self, signal: Signal) -> Result<()> {
        let directory = self.running.as_ref().context("it runs")?.directory();
        let file = fs::read_to_string(directory.join("cluster/postmaster.pid"))?;
        let postmaster: i32 = file.lines().next().context("an empty pid file")?.parse()?;
        let children = fs::read_to_string(format!("/proc/{postmaster}/task/{postmaster}/children"))?;
        kill(Pid::from_raw(postmaster), signal)?;
        for child in children.split_whitespace() {
            // A child that has ended in the meantime needs no signal.
            let _ = kill(Pid::from_raw(child.parse()?), signal);
        }
        Ok(())
    }

    /// Connects as the superuser to the server's database.
    pub fn connect(&self) -> Result<PgConnection> {
        Ok(PgConnection::establish(&self.urls.superuser)?)
    }

    pub fn execute(&self, statements: &str) -> Result<()> {
        Ok(self.connect()?.batch_execute(statements)?)
    }

    /// Runs a query with one text parameter, and returns its column `number`.
    pub fn number(&self, query: &str, parameter: &str) -> Result<i64> {
        let query = sql_query(query).bind::<Text, _>(parameter);
        Ok(query.get_result::<Number>(&mut self.connect()?)?.number)
    }

    /// Refuses connections and ends the open ones.
    pub fn go_away(&self) -> Result<()> {
        self.of_database("ALTER DATABASE mintage ALLOW_CONNECTIONS false")?;
        self.terminate_all()
    }

    pub fn come_back(&self) -> Result<()> {
        self.of_database("ALTER DATABASE mintage ALLOW_CONNECTIONS true")
    }

    pub fn terminate_all(&self) -> Result<()> {
        self.of_database("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 'mintage'")
    }

    fn of_database(&self, statements: &str) -> Result<()> {
        let url = self.urls.superuser.replacen("/mintage?", "/postgres?", 1);
        Ok(PgConnection::establish(&url)?.batch_execute(statements)?)
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if let Some(running) = &self.running {
            running.stop();
        }
    }
}
