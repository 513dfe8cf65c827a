//! A TCP path from the server to PostgreSQL that can be slow, cut, or accept bytes and deliver nothing.

use std::{
    io::{Read, Write},
    net::{Shutdown, TcpListener, TcpStream},
    os::unix::net::UnixStream,
    path::PathBuf,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

use anyhow::Result;

#[derive(Default)]
struct State {
    /// Connections before this number no longer deliver anything, but still acknowledge.
    first_alive: AtomicU64,
    accepted: AtomicU64,
    /// Whether new connections deliver nothing either.
    swallows_all: AtomicBool,
    delay_millis: AtomicU64,
    open: Mutex<Vec<TcpStream>>,
}

/// Its threads live as long as their connections.
pub struct Path {
    port: u16,
    state: Arc<State>,
}

impl Path {
    pub fn to(socket: PathBuf) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let port = listener.local_addr()?.port();
        let state = Arc::new(State::default());
        let shared = state.clone();
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let number = shared.accepted.fetch_add(1, Ordering::SeqCst);
                let _ = carry(client, &socket, number, &shared);
            }
        });
        Ok(Self { port, state })
    }

    /// The URL for a server.
    pub fn url(&self) -> String {
        format!(
            "postgresql://mintage_server@127.0.0.1:{}/mintage?sslmode=disable&gssencmode=disable",
            self.port
        )
    }

    /// Makes all open connections half-open: sent bytes are acknowledged and lost.
    pub fn lose_open_connections(&self) {
        self.state.first_alive.store(self.state.accepted.load(Ordering::SeqCst), Ordering::SeqCst);
    }

    /// Makes new connections half-open too.
    pub fn swallow_all(&self, swallow: bool) {
        self.state.swallows_all.store(swallow, Ordering::SeqCst);
        self.lose_open_connections();
    }

    /// Delays each direction by this time.
    pub fn delay(&self, by: Duration) {
        self.state.delay_millis.store(u64::try_from(by.as_millis()).unwrap_or(u64::MAX), Ordering::SeqCst);
    }

    /// Ends all open connections.
    pub fn cut(&self) {
        for stream in self.state.open.lock().unwrap_or_else(PoisonError::into_inner).drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

fn carry(client: TcpStream, socket: &PathBuf, number: u64, state: &Arc<State>) -> Result<()> {
    client.set_nodelay(true)?;
    let server = UnixStream::connect(socket)?;
    state.open.lock().unwrap_or_else(PoisonError::into_inner).push(client.try_clone()?);
    let (from_client, to_client) = (client.try_clone()?, client);
    let (from_server, to_server) = (server.try_clone()?, server);
    let one = state.clone();
    thread::spawn(move || {
        copy(from_client, &to_server, number, &one);
        let _ = to_server.shutdown(Shutdown::Both);
    });
    let other = state.clone();
    thread::spawn(move || {
        copy(from_server, &to_client, number, &other);
        // A half-open connection stays half-open, even after PostgreSQL has ended.
        if !is_lost(number, &other) {
            let _ = to_client.shutdown(Shutdown::Both);
        }
    });
    Ok(())
}

fn is_lost(number: u64, state: &State) -> bool {
    number < state.first_alive.load(Ordering::SeqCst) || state.swallows_all.load(Ordering::SeqCst)
}

fn copy(mut from: impl Read, mut to: impl Write, number: u64, state: &State) {
    let (mut part, mut lost) = ([0; 16 * 1024], false);
    while let Ok(count @ 1..) = from.read(&mut part) {
        thread::sleep(Duration::from_millis(state.delay_millis.load(Ordering::SeqCst)));
        lost |= is_lost(number, state);
        if !lost && to.write_all(&part[..count]).is_err() {
            return;
        }
    }
}
