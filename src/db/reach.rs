//! A circuit breaker: while PostgreSQL is unavailable, requests fail at once.
//!
//! A request that fails or takes long proves nothing about the others. It only starts a probe, which opens a connection
//! of its own and decides:
//!
//! - it succeeds: PostgreSQL is available, however slow some statements are;
//! - it is refused: no new connections are opened, but open ones are still used. So it is when `max_connections` is
//!   reached; when PostgreSQL has ended, there are soon no open ones;
//! - it gets no answer, and no other statement did since: PostgreSQL is frozen or the network drops packets, and every
//!   request is refused.
//!
//! While PostgreSQL is unavailable, a probe is sent every 100 ms.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
        mpsc::{self, Receiver, Sender},
    },
    time::{Duration, Instant},
};

use arc_swap::ArcSwapOption;

use super::{answers::Answers, refusal::Refusal};

/// Time after which an unanswered probe counts as silence and another is sent; it may still succeed. Opening a
/// connection takes about seven round trips, so this is enough for a round trip of 200 ms.
const PATIENCE: Duration = Duration::from_millis(1500);
const BETWEEN_PROBES_WHILE_AWAY: Duration = Duration::from_millis(100);
/// Less often while the settings are refused, since servers may block addresses after failed logins.
const BETWEEN_REFUSED_PROBES: Duration = Duration::from_secs(5);
const BETWEEN_PROBES: Duration = Duration::from_millis(250);

/// Why PostgreSQL is unavailable, and since when.
#[derive(Clone, Debug)]
pub struct Away {
    pub since: Instant,
    /// It does not answer at all, so that open connections are not used either.
    pub is_silent: bool,
    /// One line.
    pub cause: String,
}

/// The current state, shared by all hops.
pub(super) struct Reach {
    away: ArcSwapOption<Away>,
    outages: AtomicU64,
    answers: Answers,
    suspected: AtomicBool,
    events: Sender<Event>,
}

pub(super) enum Event {
    Suspicion,
    Probed { began: Instant, result: Result<(), Refusal> },
}

impl Reach {
    pub fn new() -> (Self, Receiver<Event>) {
        let (events, received) = mpsc::channel();
        let reach = Self {
            away: ArcSwapOption::empty(),
            outages: AtomicU64::new(0),
            answers: Answers::default(),
            suspected: AtomicBool::new(false),
            events,
        };
        (reach, received)
    }

    pub fn away(&self) -> Option<Arc<Away>> {
        self.away.load_full()
    }

    pub fn is_away(&self) -> bool {
        self.away.load().is_some()
    }

    /// How often PostgreSQL became unavailable.
    pub fn outages(&self) -> u64 {
        self.outages.load(Ordering::Relaxed)
    }

    /// Records that PostgreSQL has answered.
    pub fn answered(&self) {
        self.answers.note(Instant::now());
    }

    /// How long it has been answering, until its last answer.
    pub fn answering_for(&self) -> Duration {
        self.answers.lasting(Instant::now())
    }

    /// How long ago the last answer was.
    pub fn answered_ago(&self) -> Duration {
        self.answers.last().map_or(Duration::MAX, |last| last.elapsed())
    }

    fn was_answered_since(&self, began: Instant) -> bool {
        self.answers.last().is_some_and(|last| last >= began)
    }

    /// Requests a probe, after a hop that failed or got no answer.
    pub fn suspect(&self) {
        if !self.suspected.swap(true, Ordering::Relaxed) {
            self.send(Event::Suspicion);
        }
    }

    /// Sends an event to the thread that decides.
    pub fn send(&self, event: Event) {
        // An error means that the process ends.
        let _ = self.events.send(event);
    }
}

/// The state of the thread that decides.
pub(super) struct Judge {
    /// When the current probe began.
    probe: Option<Instant>,
    not_before: Instant,
}

impl Judge {
    pub fn new(now: Instant) -> Self {
        Self { probe: None, not_before: now }
    }

    /// Handles the end of a probe. True if PostgreSQL answers again after silence.
    pub fn probed(
        &mut self,
        reach: &Reach,
        began: Instant,
        result: Result<(), Refusal>,
        now: Instant,
    ) -> bool {
        match result {
            Ok(()) => {
                self.probe = None;
                self.not_before = now + BETWEEN_PROBES;
                reach.away.swap(None).is_some_and(|away| {
                    let seconds = now.duration_since(away.since).as_secs_f32();
                    tracing::info!(seconds, "PostgreSQL is available again");
                    away.is_silent
                })
            }
            Err(refusal) if self.probe == Some(began) => {
                self.probe = None;
                let pause = if refusal.is_final { BETWEEN_REFUSED_PROBES } else { BETWEEN_PROBES_WHILE_AWAY };
                self.not_before = now + pause;
                set_away(reach, false, refusal.text, now);
                false
            }
            // It took too long, so its result is out of date.
            Err(_) => false,
        }
    }

    /// Ends the current probe if it takes too long. Returns whether a new one is due; without `room` none is.
    pub fn turn(&mut self, reach: &Reach, room: bool, now: Instant) -> bool {
        if let Some(began) = self.probe.filter(|began| now - *began >= PATIENCE) {
            set_away(reach, !reach.was_answered_since(began), "no answer".into(), now);
            self.probe = None;
        }
        let wanted = reach.is_away() || reach.suspected.load(Ordering::Relaxed);
        if self.probe.is_some() || !wanted || !room || now < self.not_before {
            return false;
        }
        reach.suspected.store(false, Ordering::Relaxed);
        self.probe = Some(now);
        true
    }

    /// How long to wait for events until the next turn.
    pub fn pause(&self, reach: &Reach, longest: Duration, now: Instant) -> Duration {
        if self.probe.is_none() && (reach.is_away() || reach.suspected.load(Ordering::Relaxed)) {
            return self.not_before.saturating_duration_since(now).min(longest);
        }
        longest
    }
}

fn set_away(reach: &Reach, is_silent: bool, cause: String, now: Instant) {
    let before = reach.away();
    if before.is_none() {
        reach.outages.fetch_add(1, Ordering::Relaxed);
        let message = if is_silent {
            "PostgreSQL does not answer: requests that need it get 503"
        } else {
            "cannot open connections to PostgreSQL: requests that need a new one get 503"
        };
        tracing::warn!(error = cause, "{message}");
    }
    let since = before.map_or(now, |before| before.since);
    reach.away.store(Some(Arc::new(Away { since, is_silent, cause })));
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Trial {
        reach: Reach,
        judge: Judge,
        began: Instant,
        _events: Receiver<Event>,
    }

    impl Trial {
        fn new() -> Self {
            let (reach, events) = Reach::new();
            let began = Instant::now() + Duration::from_millis(10);
            Self { reach, judge: Judge::new(began), began, _events: events }
        }

        fn at(&self, millis: u64) -> Instant {
            self.began + Duration::from_millis(millis)
        }

        fn turn(&mut self, millis: u64) -> bool {
            let now = self.at(millis);
            self.judge.turn(&self.reach, true, now)
        }

        fn probed(&mut self, began: u64, millis: u64, result: Result<(), &str>) -> bool {
            let (began, now) = (self.at(began), self.at(millis));
            let refusal = |text: &str| Refusal { text: text.into(), is_final: text.contains("password") };
            self.judge.probed(&self.reach, began, result.map_err(refusal), now)
        }

        fn silent(&self) -> Option<bool> {
            self.reach.away().map(|away| away.is_silent)
        }
    }

    #[test]
    fn a_successful_probe_ends_a_suspicion() {
        let mut trial = Trial::new();
        assert!(!trial.turn(0), "without a suspicion there is no probe");
        trial.reach.suspect();
        assert!(trial.turn(0) && !trial.turn(1), "one probe");
        assert!(!trial.probed(0, 5, Ok(())));
        assert_eq!((trial.silent(), trial.reach.outages()), (None, 0));
        trial.reach.suspect();
        assert!(!trial.turn(100) && trial.turn(300), "four a second at most");
    }

    #[test]
    fn refused_probes_are_repeated_until_one_succeeds() {
        let mut trial = Trial::new();
        trial.reach.suspect();
        assert!(trial.turn(0));
        trial.probed(0, 2, Err("connection refused"));
        assert_eq!(trial.silent(), Some(false), "open connections are still used");
        assert!(!trial.turn(50) && trial.turn(110));
        trial.probed(110, 112, Err("the database system is starting up"));
        assert!(trial.turn(220));
        assert!(!trial.probed(220, 225, Ok(())));
        assert_eq!((trial.silent(), trial.reach.outages()), (None, 1));
    }

    #[test]
    fn with_refused_settings_a_probe_is_sent_every_five_seconds() {
        let mut trial = Trial::new();
        trial.reach.suspect();
        assert!(trial.turn(0));
        trial.probed(0, 2, Err("a wrong password"));
        assert!(!trial.turn(4900) && trial.turn(5002));
    }

    #[test]
    fn after_silence_the_first_successful_probe_replaces_all_connections() {
        let mut trial = Trial::new();
        trial.reach.suspect();
        assert!(trial.turn(0));
        assert!(!trial.turn(1400));
        assert_eq!(trial.silent(), None);
        assert!(trial.turn(1500), "another is sent");
        assert_eq!(trial.silent(), Some(true));
        trial.probed(0, 2000, Err("timeout expired"));
        assert_eq!(trial.silent(), Some(true), "a timeout of libpq is not an answer");
        assert!(trial.turn(3000));
        assert!(trial.probed(1500, 3200, Ok(())), "a late answer counts");
        assert_eq!((trial.silent(), trial.reach.outages()), (None, 1));
        trial.probed(3000, 5000, Err("timeout expired"));
        assert_eq!(trial.silent(), None);
    }

    #[test]
    fn a_probe_that_hangs_while_statements_are_answered_is_not_silence() {
        let mut trial = Trial::new();
        trial.reach.suspect();
        let begin = Instant::now();
        trial.judge = Judge::new(begin);
        assert!(trial.judge.turn(&trial.reach, true, begin));
        trial.reach.answered();
        trial.judge.turn(&trial.reach, true, begin + Duration::from_millis(1500));
        assert_eq!(trial.silent(), Some(false), "only new connections hang");
    }
}
