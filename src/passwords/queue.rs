//! Queues passwords for the hashing threads.
//!
//! A hash costs hundreds of milliseconds of CPU, so an attacker will try to fill this queue. The next job is the one
//! whose client network had the fewest hashes in the last minutes, and among equals the oldest: a network that floods
//! the queue delays only itself. A network has only a few slots, and a job that has not begun within [`MAX_WAIT`] is
//! withdrawn.

use std::{
    collections::HashMap,
    mem,
    time::{Duration, Instant},
};

use parking_lot::{Condvar, Mutex, MutexGuard};

use crate::{
    config::Passwords,
    http::{Network, Problem, kind},
};

pub(super) const MAX_WAIT: Duration = Duration::from_secs(2);
/// How long a hash counts in the share of its network: between one and two of these periods.
const SHARE_PERIOD: Duration = Duration::from_mins(1);

pub(super) type Work = Box<dyn FnOnce() + Send>;

pub(super) struct Queue {
    state: Mutex<State>,
    arrived: Condvar,
    threads: u32,
    size: usize,
    size_per_network: usize,
}

struct State {
    waiting: Vec<Job>,
    /// Slots in use: by permits, by waiting jobs and by running jobs.
    taken: usize,
    taken_by: HashMap<Network, usize>,
    running: u32,
    shares: Shares,
    /// The moving average of the time of a job.
    average: Duration,
    next_number: u64,
    closed: bool,
}

struct Job {
    number: u64,
    network: Network,
    work: Work,
}

impl Queue {
    /// Makes a queue. `estimate` is the expected time of a job, until jobs have been measured.
    pub fn new(settings: &Passwords, estimate: Duration) -> Self {
        let state = State {
            waiting: Vec::new(),
            taken: 0,
            taken_by: HashMap::new(),
            running: 0,
            shares: Shares::new(Instant::now()),
            average: estimate,
            next_number: 0,
            closed: false,
        };
        Self {
            state: Mutex::new(state),
            arrived: Condvar::new(),
            threads: u32::try_from(settings.threads).unwrap_or(u32::MAX),
            size: settings.queue + settings.threads,
            size_per_network: settings.queue_per_network,
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }

    /// Returns how many slots are in use, and how many there are.
    pub fn in_use(&self) -> (usize, usize) {
        (self.state().taken, self.size)
    }

    /// Takes a slot, which [`Queue::leave`] frees.
    ///
    /// # Errors
    /// `overloaded`: all slots are in use, this network has used its share, or the wait would be too long.
    pub fn enter(&self, network: Network) -> Result<(), Problem> {
        let mut state = self.state();
        let own = state.taken_by.get(&network).copied().unwrap_or_default();
        let is_full = state.taken >= self.size || own >= self.size_per_network;
        if is_full || self.wait_of(&mut state, network) > MAX_WAIT {
            return Err(overloaded());
        }
        state.taken += 1;
        state.taken_by.insert(network, own + 1);
        Ok(())
    }

    pub fn leave(&self, network: Network) {
        let mut state = self.state();
        state.taken -= 1;
        if let Some(own) = state.taken_by.get_mut(&network) {
            *own -= 1;
            if *own == 0 {
                state.taken_by.remove(&network);
            }
        }
    }

    /// Estimates how long a new job of this network would wait for a thread.
    fn wait_of(&self, state: &mut State, network: Network) -> Duration {
        let own = state.shares.of(network);
        let State { waiting, shares, running, average, .. } = state;
        let ahead = waiting.iter().filter(|job| shares.of(job.network) <= own).count();
        let ahead = u32::try_from(ahead).unwrap_or(u32::MAX) + *running;
        // With a free thread it begins at once.
        average.saturating_mul((ahead + 1).saturating_sub(self.threads)) / self.threads
    }

    /// Queues work. Returns the number that identifies it for [`Queue::withdraw`].
    pub fn push(&self, network: Network, work: Work) -> u64 {
        let mut state = self.state();
        let number = state.next_number;
        state.next_number += 1;
        state.waiting.push(Job { number, network, work });
        drop(state);
        self.arrived.notify_one();
        number
    }

    /// Removes a job that has not begun. Returns false if it has.
    pub fn withdraw(&self, number: u64) -> bool {
        let mut state = self.state();
        let index = state.waiting.iter().position(|job| job.number == number);
        let job = index.map(|index| state.waiting.remove(index));
        // The job is dropped after the lock: dropping it frees its slot, which takes the lock.
        drop(state);
        job.is_some()
    }

    /// Runs one job after the other on this thread, until the queue is closed.
    pub fn work(&self) {
        while let Some(job) = self.next() {
            let begun = Instant::now();
            // After a panic the request sees a closed channel, and the thread continues.
            let _ = std::panic::catch_unwind(std::panic::AssertUnwindSafe(job));
            let mut state = self.state();
            state.running -= 1;
            state.average = (state.average * 7 + begun.elapsed()) / 8;
        }
    }

    /// Waits for the job whose network had the fewest hashes. Returns None when the queue is closed.
    fn next(&self) -> Option<Work> {
        let mut state = self.state();
        loop {
            if state.closed {
                return None;
            }
            let State { waiting, shares, .. } = &mut *state;
            let first = (0..waiting.len()).min_by_key(|index| {
                let job = &waiting[*index];
                (shares.of(job.network), job.number)
            });
            if let Some(index) = first {
                let job = waiting.remove(index);
                shares.add(job.network, Instant::now());
                state.running += 1;
                return Some(job.work);
            }
            self.arrived.wait(&mut state);
        }
    }

    /// Ends [`Queue::work`] on all threads.
    pub fn close(&self) {
        let mut state = self.state();
        state.closed = true;
        let unfinished = mem::take(&mut state.waiting);
        drop(state);
        drop(unfinished);
        self.arrived.notify_all();
    }
}

pub(super) fn overloaded() -> Problem {
    Problem::new(&kind::OVERLOADED).retry_after(MAX_WAIT.as_secs())
}

/// How many hashes each network had recently. The number of hashes that can be made in two periods bounds its memory.
struct Shares {
    current: HashMap<Network, u32>,
    previous: HashMap<Network, u32>,
    began: Instant,
}

impl Shares {
    fn new(now: Instant) -> Self {
        Self { current: HashMap::new(), previous: HashMap::new(), began: now }
    }

    fn of(&self, network: Network) -> u32 {
        let count = |counts: &HashMap<Network, u32>| counts.get(&network).copied().unwrap_or_default();
        count(&self.current) + count(&self.previous)
    }

    fn add(&mut self, network: Network, now: Instant) {
        let age = now.saturating_duration_since(self.began);
        if age >= SHARE_PERIOD {
            let past = mem::take(&mut self.current);
            self.previous = if age < 2 * SHARE_PERIOD { past } else { HashMap::new() };
            self.began = now;
        }
        *self.current.entry(network).or_default() += 1;
    }
}

#[cfg(test)]
mod tests {
    use std::{
        sync::{Arc, mpsc},
        thread,
    };

    use super::*;

    fn network(third: u8) -> Network {
        Network::of([203, 0, third, 1].into())
    }

    fn queue(threads: usize, queue: usize, queue_per_network: usize) -> Queue {
        Queue::new(
            &Passwords { cost: 4, threads, queue, queue_per_network, breach_url: None },
            Duration::ZERO,
        )
    }

    /// Returns the order in which one thread runs jobs of these networks.
    fn order(queue: &Arc<Queue>, networks: &[u8]) -> Vec<u8> {
        let (done, results) = mpsc::channel();
        for number in networks {
            let (done, number) = (done.clone(), *number);
            queue.push(network(number), Box::new(move || done.send(number).expect("the test waits")));
        }
        let worker = queue.clone();
        let thread = thread::spawn(move || worker.work());
        let order = networks.iter().map(|_| results.recv().expect("a job")).collect();
        queue.close();
        thread.join().expect("the thread ends");
        order
    }

    #[test]
    fn a_network_that_floods_the_queue_delays_only_itself() {
        assert_eq!(order(&Arc::new(queue(1, 64, 64)), &[1, 1, 1, 1, 2, 3]), [1, 2, 3, 1, 1, 1]);
    }

    #[test]
    fn among_equal_shares_the_oldest_job_is_first() {
        assert_eq!(order(&Arc::new(queue(1, 64, 64)), &[3, 1, 2]), [3, 1, 2]);
    }

    #[test]
    fn the_slots_of_one_network_and_of_all_are_bounded() {
        let queue = queue(1, 4, 3);
        let enter = |number| queue.enter(network(number)).map_err(|problem| problem.kind().code);
        assert!((0..3).all(|_| enter(1).is_ok()));
        assert_eq!(enter(1), Err("overloaded"));
        assert!((0..2).all(|_| enter(2).is_ok()));
        assert_eq!(enter(3), Err("overloaded"), "the queue of 4 and the thread are taken");
        queue.leave(network(1));
        assert_eq!((enter(3), queue.in_use()), (Ok(()), (5, 5)));
    }

    #[test]
    fn a_job_that_would_wait_too_long_is_refused_at_once_but_not_that_of_a_new_network() {
        let queue = queue(1, 64, 64);
        queue.state().average = Duration::from_secs(1);
        for _ in 0..3 {
            queue.state().shares.add(network(1), Instant::now());
            queue.push(network(1), Box::new(|| ()));
        }
        assert!(queue.enter(network(1)).is_err(), "three of its own are ahead, so 3 s");
        assert!(queue.enter(network(2)).is_ok(), "it has had none, so it is next");
    }

    #[test]
    fn with_enough_threads_nothing_waits() {
        let queue = queue(8, 64, 64);
        queue.state().average = Duration::from_mins(1);
        queue.state().running = 7;
        assert!(queue.enter(network(1)).is_ok());
        queue.state().running = 8;
        assert!(queue.enter(network(1)).is_err());
    }

    #[test]
    fn a_withdrawn_job_does_not_run() {
        let queue = Arc::new(queue(1, 64, 64));
        let number = queue.push(network(1), Box::new(|| panic!("it was withdrawn")));
        assert!(queue.withdraw(number) && !queue.withdraw(number));
        assert_eq!(order(&queue, &[2]), [2]);
    }

    #[test]
    fn a_share_counts_for_one_to_two_minutes() {
        let begin = Instant::now();
        let mut shares = Shares::new(begin);
        shares.add(network(1), begin);
        for (minutes, expected) in [(1, 1), (2, 0)] {
            shares.add(network(2), begin + SHARE_PERIOD * minutes);
            assert_eq!(shares.of(network(1)), expected, "after {minutes} minutes");
        }
    }
}
