//! Views in memory stay in step with the database, whatever happens to the connection.

use std::{
    io::{Read, Write},
    net::TcpListener,
    os::unix::net::UnixStream,
    path::PathBuf,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU32, Ordering},
        mpsc,
    },
    thread,
    time::{Duration, Instant},
};

use diesel::{PgConnection, QueryResult, connection::SimpleConnection};
use mintage::{
    clock::Clock,
    config::Secret,
    db::{Change, Follow, Follower},
    tasks::Tasks,
    telemetry::Exposition,
};
use percent_encoding::percent_decode_str;

use crate::support::{Database, eventually};

/// Counts its loads, and panics in as many as a test wants.
#[derive(Default)]
struct View {
    loads: AtomicU32,
    /// So many loads to come panic.
    bad_loads: AtomicU32,
    notified: AtomicU32,
    /// The number of the load that it shows.
    shown: AtomicU32,
    /// What the next load waits for.
    late: Mutex<Option<mpsc::Receiver<()>>>,
}

impl Follow for View {
    fn channel(&self) -> &'static str {
        "of_a_test"
    }

    fn load(&self, _: &mut PgConnection) -> QueryResult<Change<'_>> {
        let number = self.loads.fetch_add(1, Ordering::Relaxed) + 1;
        let bad = self.bad_loads.try_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1));
        assert!(bad.is_err(), "a panic of this test");
        let late = self.late.lock().expect("lock").take();
        if let Some(late) = &late {
            late.recv().expect("the test goes on");
        }
        Ok(Box::new(move || self.shown.store(number, Ordering::Relaxed)))
    }

    fn notified(&self, _: &mut PgConnection, payload: &str) -> QueryResult<Change<'_>> {
        assert!(payload != "bad", "a panic of this test");
        Ok(Box::new(|| {
            self.notified.fetch_add(1, Ordering::Relaxed);
        }))
    }
}

/// A TCP proxy before the Unix socket of PostgreSQL that falls silent: it goes on to accept bytes, as
/// a frozen backend or a balancer that forgot its connections.
struct Relay {
    url: Secret,
    silent: Arc<Silent>,
}

#[derive(Default)]
struct Silent {
    /// Connections with a lower number.
    below: AtomicU32,
    accepted: AtomicU32,
    /// New ones as well, once they have been opened.
    once_open: AtomicBool,
}

impl Relay {
    fn start(database: &Database) -> Self {
        let direct = database.url().expose().to_owned();
        let after =
            |name: &str| direct.split_once(name).expect("a URL").1.split('&').next().expect("a value");
        let host = percent_decode_str(after("host=")).decode_utf8().expect("text").into_owned();
        let socket = PathBuf::from(host).join(".s.PGSQL.5432");
        let name = direct.split_once("///").expect("a URL").1.split('?').next().expect("a name");
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let url = format!("postgresql://{}@127.0.0.1:{port}/{name}", after("user="));
        let silent = Arc::<Silent>::default();
        let of_all = silent.clone();
        thread::spawn(move || {
            for client in listener.incoming() {
                let number = of_all.accepted.fetch_add(1, Ordering::SeqCst);
                let (client, server) = (client.expect("a client"), UnixStream::connect(&socket));
                let (silent, server) = (of_all.clone(), server.expect("PostgreSQL"));
                let ours = (client.try_clone().expect("a copy"), server.try_clone().expect("a copy"));
                let opened = Arc::new(AtomicBool::new(false));
                let (other_silent, other_opened) = (silent.clone(), opened.clone());
                thread::spawn(move || carry(client, server, number, &silent, &opened));
                thread::spawn(move || carry(ours.1, ours.0, number, &other_silent, &other_opened));
            }
        });
        Self { url: Secret::new(url), silent }
    }

    fn silence_open_connections(&self) {
        self.silent.below.store(self.silent.accepted.load(Ordering::SeqCst), Ordering::SeqCst);
    }

    /// New connections can be opened and then hang.
    fn silence_all(&self) {
        self.silent.once_open.store(true, Ordering::SeqCst);
    }
}

fn carry(mut from: impl Read, mut to: impl Write, number: u32, silent: &Silent, opened: &AtomicBool) {
    let ready_for_query = b"Z\0\0\0\x05I";
    let mut bytes = [0; 8192];
    while let Ok(length @ 1..) = from.read(&mut bytes) {
        let is_silent = number < silent.below.load(Ordering::SeqCst)
            || silent.once_open.load(Ordering::SeqCst) && opened.load(Ordering::SeqCst);
        if !is_silent && to.write_all(&bytes[..length]).is_err() {
            return;
        }
        if bytes[..length].windows(6).any(|window| window == ready_for_query) {
            opened.store(true, Ordering::SeqCst);
        }
    }
}

fn notify(database: &Database, payload: &str) {
    database.connect().batch_execute(&format!("NOTIFY of_a_test, '{payload}'")).unwrap();
}

fn count(of: &AtomicU32) -> u32 {
    of.load(Ordering::Relaxed)
}

#[tokio::test]
async fn a_view_that_panics_is_loaded_anew_and_followed_again() {
    let (database, view, tasks) = (Database::create(), Arc::new(View::default()), Tasks::default());
    let _follower =
        Follower::start("the view", &database.url(), &Clock::default(), vec![view.clone()], &tasks).unwrap();
    notify(&database, "good");
    eventually("the news", async || count(&view.notified) == 1).await;
    view.bad_loads.store(2, Ordering::Relaxed);
    notify(&database, "bad");
    eventually("the third load after it", async || count(&view.loads) == 4).await;
    notify(&database, "good");
    eventually("the news after it", async || count(&view.notified) == 2).await;
    let mut metrics = Exposition::default();
    tasks.write(&mut metrics);
    let text = metrics.classic();
    assert!(text.contains("mintage_task_restarts_total{task=\"the view\"} 3\n"), "{text}");
}

#[tokio::test]
async fn a_connection_that_falls_silent_is_given_up_within_seconds() {
    let (database, view) = (Database::create(), Arc::new(View::default()));
    let relay = Relay::start(&database);
    let _follower =
        Follower::start("the view", &relay.url, &Clock::default(), vec![view.clone()], &Tasks::default())
            .unwrap();
    notify(&database, "good");
    eventually("the news", async || count(&view.notified) == 1).await;
    relay.silence_open_connections();
    let began = Instant::now();
    eventually("another connection", async || count(&view.loads) == 2).await;
    // 3.6 s by design: a heartbeat after 1 s and patience of 2.5 s.
    assert!(began.elapsed() < Duration::from_secs(8), "{:?}", began.elapsed());
    notify(&database, "good");
    eventually("the news after it", async || count(&view.notified) == 2).await;
}

#[tokio::test]
async fn a_late_read_does_not_replace_newer_data() {
    let (database, view) = (Database::create(), Arc::new(View::default()));
    let tasks = Tasks::default();
    let _follower =
        Follower::start("the view", &database.url(), &Clock::default(), vec![view.clone()], &tasks).unwrap();
    let (release, late) = mpsc::channel();
    *view.late.lock().unwrap() = Some(late);
    database.go_away();
    database.come_back();
    // The second load has half a minute; then another connection takes over, and its thread is left behind.
    eventually("the third load", async || count(&view.shown) == 3).await;
    release.send(()).unwrap();
    // This test, the follower and its present connection have one each.
    eventually("the end of the thread", async || Arc::strong_count(&view) == 3).await;
    assert_eq!(count(&view.shown), 3);
}

#[tokio::test]
async fn too_many_hanging_connections_end_the_process() {
    let (database, view, tasks) = (Database::create(), Arc::new(View::default()), Tasks::default());
    let relay = Relay::start(&database);
    let _follower =
        Follower::start_bounded("the view", &relay.url, &Clock::default(), vec![view], &tasks, 2).unwrap();
    relay.silence_all();
    let reason = tokio::time::timeout(Duration::from_mins(3), tasks.fatal()).await.unwrap();
    assert_eq!(reason, "the view: 2 connections to PostgreSQL hang");
}
