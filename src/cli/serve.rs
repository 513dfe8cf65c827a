use std::net::SocketAddr;

use actix_web::rt::{
    System,
    signal::unix::{SignalKind, signal},
};
use anyhow::Result;

use super::database::{Database, secret_key};
use crate::{
    app::Server,
    clock::Clock,
    config::{Config, Profile},
};

/// Serves until SIGTERM or Ctrl-C; a second one does not wait for requests in flight.
pub(super) fn run(mut config: Config) -> Result<()> {
    // Before the key, so that the cluster decides on the data directory's permissions.
    let database = Database::start(&config)?;
    let development = notes_for_development(&config);
    let embedded = database.cluster.as_ref().map(|cluster| {
        format!("{} (embedded PostgreSQL, {})", cluster.directory().display(), cluster.outcome())
    });
    config.database.url = Some(database.url.clone());
    let served = secret_key(&config)
        .and_then(|secret| Server::start(config, &secret, &Clock::default()))
        .and_then(|server| {
            print_welcome(server.address()?, &server, embedded.as_deref(), &development);
            System::new().block_on(async { server.serve(stop_signal()?).await })
        });
    database.stop();
    served
}

fn stop_signal() -> Result<impl Future<Output = ()>> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        tracing::info!("stopping");
    })
}

fn notes_for_development(config: &Config) -> Vec<&'static str> {
    if config.profile == Profile::Production {
        return Vec::new();
    }
    let notes = [
        (config.database.url.is_none(), "the embedded database"),
        (config.secret_key.is_none(), "a generated SECRET_KEY in DATA_DIR"),
        (config.server.tls.is_none(), "plain HTTP"),
    ];
    notes.iter().filter(|(applies, _)| *applies).map(|(_, note)| *note).collect()
}

fn print_welcome(address: SocketAddr, server: &Server, embedded: Option<&str>, notes: &[&str]) {
    let base = server.base_url(address);
    println!("Mintage serves {base}");
    println!("  API docs   {base}/apidocs/");
    println!("  Data       {}", embedded.unwrap_or("the PostgreSQL of DATABASE_URL"));
    println!("  Coins      {}", server.coins_source());
    if !notes.is_empty() {
        println!("  For development only: {} (PROFILE=production refuses them)", notes.join(", "));
    }
}
