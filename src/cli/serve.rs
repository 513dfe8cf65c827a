//! `mintage serve`: signals, the embedded database, the first lines.

use std::{
    fs,
    sync::mpsc,
    thread,
    time::{Duration, SystemTime},
};

use actix_web::rt::{
    System,
    signal::unix::{Signal, SignalKind, signal},
    time::sleep,
};
use anyhow::{Result, bail};
use serde_json::json;
use tokio::sync::oneshot;

use super::{
    database::{Database, secret_key},
    output::print,
};
use crate::{
    app::Server,
    clock::Clock,
    config::{Config, LogFormat, Profile},
    db::{connect_patiently, naming_locks, rights},
    embedded::Cluster,
    tokens,
};

/// Serves until SIGTERM, SIGINT (Ctrl-C) or SIGHUP (the terminal is closed); a second signal ends the process without
/// waiting for requests in flight. SIGUSR1 and SIGUSR2 are logged and ignored.
pub(super) fn run(mut config: Config) -> Result<()> {
    let system = System::new();
    // From here on a signal must not leave the embedded cluster running: it is handled once the server serves.
    let signals = match config.database.url {
        None => Some(system.block_on(async { Signals::listen() })?),
        Some(_) => None,
    };
    // Before the key, so that the cluster sets the permissions of the data directory.
    let database = Database::start(&config)?;
    let development = notes_for_development(&config);
    let embedded = database.cluster.as_ref().map(|cluster| {
        format!("{} (embedded PostgreSQL, {})", cluster.directory().display(), cluster.outcome())
    });
    config.database = database.settings.clone();
    let mail = config.mail.transport.to_string();
    let format = config.log.format;
    let has_keys = || {
        let mut conn = connect_patiently(database.url(), &config.database)?;
        naming_locks(database.url(), &mut conn, |conn| {
            rights::check(conn)?;
            Ok(tokens::has_keys(conn)?)
        })
    };
    let served = secret_key(&config, has_keys)
        .and_then(|secret| Server::start(config, &secret, &Clock::default()))
        .and_then(|server| {
            let welcome =
                Welcome { format, embedded: embedded.as_deref(), mail: &mail, development: &development };
            system.block_on(serve(server, signals, &welcome, database.cluster.as_ref()))
        });
    database.stop();
    // Dropping the runtime would wait for threads that are stuck on a stalled PostgreSQL.
    std::mem::forget(system);
    served
}

async fn serve(
    server: Server,
    signals: Option<Signals>,
    welcome: &Welcome<'_>,
    cluster: Option<&Cluster>,
) -> Result<()> {
    // Signal handlers are installed before the welcome is printed: its reader may send a signal at once.
    let mut signals = signals.map_or_else(Signals::listen, Ok)?;
    welcome.print(&server)?;
    let (stop, stopped) = oneshot::channel();
    tokio::select! {
        served = server.serve(async { stopped.await.unwrap_or_default() }) => served,
        () = death_of(cluster) => {
            let shortage = cluster.and_then(Cluster::shortage).map(|shortage| format!(" ({shortage})"));
            bail!("the embedded PostgreSQL has ended unexpectedly{}: restart the server; no data is lost", shortage.unwrap_or_default())
        }
        () = async {
            signals.next().await;
            tracing::info!("stopping");
            let _ = stop.send(());
            signals.next().await;
        } => {
            tracing::warn!("stopping without waiting for requests");
            Ok(())
        }
    }
}

/// Completes when the embedded PostgreSQL ends by itself; never without one.
async fn death_of(cluster: Option<&Cluster>) {
    while cluster.is_none_or(Cluster::is_running) {
        sleep(Duration::from_secs(1)).await;
    }
}

struct Signals {
    terminate: Signal,
    interrupt: Signal,
    /// None if the process was started to outlive its terminal, as by `nohup`.
    hang_up: Option<Signal>,
    user: [Signal; 2],
}

impl Signals {
    fn listen() -> Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hang_up: if ignores_hang_up() { None } else { Some(signal(SignalKind::hangup())?) },
            user: [signal(SignalKind::user_defined1())?, signal(SignalKind::user_defined2())?],
        })
    }

    /// Waits for the next signal to stop.
    async fn next(&mut self) {
        let Self { hang_up, user: [first, second], .. } = self;
        loop {
            let ignored = tokio::select! {
                _ = self.terminate.recv() => return,
                _ = self.interrupt.recv() => return,
                Some(()) = async { hang_up.as_mut()?.recv().await } => return,
                _ = first.recv() => "SIGUSR1",
                _ = second.recv() => "SIGUSR2",
            };
            // By default they end the process at once, which would leave the embedded PostgreSQL running.
            tracing::info!(signal = ignored, "ignored a signal that has no function");
        }
    }
}

/// Whether the process was started with SIGHUP ignored.
fn ignores_hang_up() -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let ignored = ignored.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    // Bit 0 is signal 1, which is SIGHUP.
    ignored.is_some_and(|mask| mask & 1 == 1)
}

fn notes_for_development(config: &Config) -> Vec<&'static str> {
    if config.profile == Profile::Production {
        return Vec::new();
    }
    let notes = [
        (config.database.url.is_none(), "the embedded database"),
        (config.secret_key.is_none(), "a generated SECRET_KEY in DATA_DIR"),
    ];
    notes.iter().filter(|(applies, _)| *applies).map(|(_, note)| *note).collect()
}

/// The content of the first lines besides the address.
struct Welcome<'a> {
    format: LogFormat,
    embedded: Option<&'a str>,
    mail: &'a str,
    development: &'a [&'static str],
}

impl Welcome<'_> {
    /// Prints the first lines. Waits at most a second, so that a blocked stdout does not keep the server from serving.
    fn print(&self, server: &Server) -> Result<()> {
        let base = server.base_url(server.address()?);
        let lines = match self.format {
            LogFormat::Text => self.lines(server, &base)?,
            LogFormat::Json => vec![self.json(server, &base)?],
        };
        let (printed, end) = mpsc::channel();
        thread::spawn(move || {
            let _ = lines.iter().try_for_each(print);
            let _ = printed.send(());
        });
        let _ = end.recv_timeout(Duration::from_secs(1));
        Ok(())
    }

    fn data(&self) -> &str {
        self.embedded.unwrap_or("PostgreSQL at DATABASE_URL")
    }

    fn lines(&self, server: &Server, base: &str) -> Result<Vec<String>> {
        let mut lines = vec![format!("Mintage serves {base}")];
        if server.has_api_docs() {
            lines.push(format!("  API docs   {base}/apidocs/"));
        }
        lines.push(format!("  Data       {}", self.data()));
        lines.push(format!("  Coins      {}", server.coins_source()));
        lines.push(format!("  Mail       {}", self.mail));
        if let Some(mailbox) = mailbox(server, base)? {
            lines.push(format!("  Mailbox    {mailbox} (from this computer only)"));
        }
        if !self.development.is_empty() {
            lines.push(format!("  For development only: {}", self.development.join(", ")));
        }
        Ok(lines)
    }

    /// The same as one line in the format of the log, since a collector of logs usually reads stdout as well.
    fn json(&self, server: &Server, base: &str) -> Result<String> {
        let now = humantime::format_rfc3339_micros(SystemTime::now()).to_string();
        let line = json!({
            "timestamp": now, "level": "INFO", "message": "serving", "address": base, "api_docs": server.has_api_docs(),
            "data": self.data(), "coins": server.coins_source(), "mail": self.mail,
            "mailbox": mailbox(server, base)?, "development_only": self.development,
        });
        Ok(line.to_string())
    }
}

/// The address of the page with the mails of this server, if it is served.
fn mailbox(server: &Server, base: &str) -> Result<Option<String>> {
    let port = server.address()?.port();
    let scheme = if base.starts_with("https:") { "https" } else { "http" };
    Ok(server.has_mailbox().then(|| format!("{scheme}://localhost:{port}/dev/mails")))
}
