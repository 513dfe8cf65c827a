//! Clients that send one request after the other, and the responses they got.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use anyhow::Result;
use mintage_bench::http::{Answer, Connection};

/// The pause after a response that is not a success, so that refusals do not keep the machine busy.
const PAUSE: Duration = Duration::from_millis(20);

/// One request.
#[derive(Clone, Copy)]
pub struct Sample {
    pub began: Instant,
    pub took: Duration,
    /// None if the connection broke before the response.
    pub status: Option<u16>,
    pub retry_after: Option<u64>,
}

impl Sample {
    pub fn ended(&self) -> Instant {
        self.began + self.took
    }

    pub fn is_success(&self) -> bool {
        self.status.is_some_and(|status| status < 400)
    }

    pub fn is(&self, status: u16) -> bool {
        self.status == Some(status)
    }
}

/// Sends one request of a client, and may check the response.
pub type Ask = Box<dyn FnMut(&mut Connection) -> Result<Answer> + Send>;

/// Clients that run until they are stopped, each on a kept connection.
pub struct Load {
    stop: Arc<AtomicBool>,
    clients: Vec<JoinHandle<Vec<Sample>>>,
}

impl Load {
    pub fn start(address: &str, asks: Vec<Ask>) -> Self {
        Self::paced(address, asks, Duration::ZERO)
    }

    /// With a pause after each request.
    pub fn paced(address: &str, asks: Vec<Ask>, pause: Duration) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let clients = asks.into_iter().map(|ask| {
            let (stop, address) = (stop.clone(), address.to_owned());
            thread::spawn(move || run(&address, ask, pause, &stop))
        });
        Self { clients: clients.collect(), stop }
    }

    pub fn stop(self) -> Vec<Sample> {
        self.stop.store(true, Ordering::Relaxed);
        self.clients.into_iter().flat_map(|client| client.join().expect("a client")).collect()
    }
}

fn run(address: &str, mut ask: Ask, pause: Duration, stop: &AtomicBool) -> Vec<Sample> {
    let (mut samples, mut connection) = (Vec::new(), None);
    while !stop.load(Ordering::Relaxed) {
        let Some(open) = connection.as_mut() else {
            // No server listens, so no request was begun.
            connection = Connection::open(address).ok();
            if connection.is_none() {
                thread::sleep(PAUSE);
            }
            continue;
        };
        let began = Instant::now();
        let answer = ask(open);
        let took = began.elapsed();
        let (status, retry_after) = match &answer {
            Ok(answer) => (Some(answer.status), answer.retry_after),
            Err(_) => (None, None),
        };
        let sample = Sample { began, took, status, retry_after };
        samples.push(sample);
        if status.is_none() || answer.is_ok_and(|answer| answer.closes) {
            connection = None;
        }
        thread::sleep(if sample.is_success() { pause } else { pause.max(PAUSE) });
    }
    samples
}

pub fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

/// In milliseconds; 0 without samples.
pub fn percentile<'a>(samples: impl IntoIterator<Item = &'a Sample>, percent: usize) -> f64 {
    let mut times: Vec<_> = samples.into_iter().map(|sample| sample.took).collect();
    times.sort();
    times.get((times.len() * percent / 100).min(times.len().saturating_sub(1))).copied().map_or(0.0, millis)
}
