//! A TCP proxy before PostgreSQL whose path can fail in the ways that networks and poolers do.
//! It uses only std and blocks on threads of its own, so that it also works outside of the tests.

use std::{
    io::{ErrorKind, Read, Write},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    os::unix::net::UnixStream,
    path::PathBuf,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

const LOOK: Duration = Duration::from_millis(2);

#[derive(Default)]
struct State {
    /// Nothing is passed on until it is false again; nothing is lost.
    held: AtomicBool,
    /// Connections with a lower number stay open, but what they carry is read and discarded.
    lost_below: AtomicU64,
    /// Nothing listens.
    refusing: AtomicBool,
    ended: AtomicBool,
    next: AtomicU64,
    open: Mutex<Vec<TcpStream>>,
}

/// Listens on a port of loopback and forwards to the Unix socket of PostgreSQL.
pub struct PathToDatabase {
    pub address: SocketAddr,
    state: Arc<State>,
}

impl PathToDatabase {
    /// `socket` is the file, such as `/run/postgresql/.s.PGSQL.5432`.
    pub fn to(socket: PathBuf) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("address");
        let state = Arc::new(State::default());
        let accepting = state.clone();
        thread::spawn(move || accept(listener, address, &socket, &accepting));
        Self { address, state }
    }

    /// As SIGSTOP does: connections are accepted and nothing answers, until [`Self::release`].
    pub fn hold(&self) {
        self.state.held.store(true, Ordering::SeqCst);
    }

    pub fn release(&self) {
        self.state.held.store(false, Ordering::SeqCst);
    }

    /// Connections that are open now go nowhere for ever, though the peer acknowledges what it receives.
    /// New ones work.
    pub fn lose_open_connections(&self) {
        self.state.lost_below.store(self.state.next.load(Ordering::SeqCst), Ordering::SeqCst);
    }

    /// As [`Self::lose_open_connections`], and connections of later go nowhere either. Ends with
    /// [`Self::lose_open_connections`], after which new ones work.
    pub fn lose_all_connections(&self) {
        self.state.lost_below.store(u64::MAX, Ordering::SeqCst);
    }

    /// As `kill -9` does: open connections are cut and new ones refused, until [`Self::restore`].
    pub fn cut(&self) {
        self.state.refusing.store(true, Ordering::SeqCst);
        for connection in self.state.open.lock().expect("not poisoned").drain(..) {
            let _ = connection.shutdown(Shutdown::Both);
        }
    }

    pub fn restore(&self) {
        self.state.refusing.store(false, Ordering::SeqCst);
    }
}

impl Drop for PathToDatabase {
    fn drop(&mut self) {
        self.state.ended.store(true, Ordering::SeqCst);
        self.cut();
    }
}

fn accept(listener: TcpListener, address: SocketAddr, socket: &PathBuf, state: &Arc<State>) {
    let mut listener = Some(listener);
    while !state.ended.load(Ordering::SeqCst) {
        if state.refusing.load(Ordering::SeqCst) {
            listener = None;
        } else if listener.is_none() {
            listener = TcpListener::bind(address).ok();
        }
        let Some(listener) = &listener else {
            thread::sleep(LOOK);
            continue;
        };
        listener.set_nonblocking(true).expect("option");
        match listener.accept() {
            Ok((client, _)) => forward(client, socket, state),
            Err(_) => thread::sleep(LOOK),
        }
    }
}

fn forward(client: TcpStream, socket: &PathBuf, state: &Arc<State>) {
    client.set_nonblocking(false).expect("option");
    let Ok(server) = UnixStream::connect(socket) else { return };
    let number = state.next.fetch_add(1, Ordering::SeqCst);
    {
        let mut open = state.open.lock().expect("not poisoned");
        if state.refusing.load(Ordering::SeqCst) {
            return;
        }
        open.push(client.try_clone().expect("descriptor"));
    }
    let (to_server, to_client) =
        (server.try_clone().expect("descriptor"), client.try_clone().expect("descriptor"));
    let (one, other) = (state.clone(), state.clone());
    thread::spawn(move || {
        let closed = to_server.try_clone().expect("descriptor");
        carry(client, to_server, number, &one);
        let _ = closed.shutdown(Shutdown::Both);
    });
    thread::spawn(move || {
        let closed = to_client.try_clone().expect("descriptor");
        carry(server, to_client, number, &other);
        // One that was lost stays open, whatever PostgreSQL does with its end.
        if number >= other.lost_below.load(Ordering::SeqCst) {
            let _ = closed.shutdown(Shutdown::Both);
        }
    });
}

fn carry(mut from: impl Read, mut to: impl Write, number: u64, state: &State) {
    let mut buffer = [0; 8192];
    loop {
        let length = match from.read(&mut buffer) {
            Ok(0) => return,
            Ok(length) => length,
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(_) => return,
        };
        while state.held.load(Ordering::SeqCst) && !state.ended.load(Ordering::SeqCst) {
            thread::sleep(LOOK);
        }
        if number >= state.lost_below.load(Ordering::SeqCst) && to.write_all(&buffer[..length]).is_err() {
            return;
        }
    }
}
