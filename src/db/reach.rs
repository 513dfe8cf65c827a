//! Whether PostgreSQL can be reached: a breaker, so that while it is away requests fail at once.
//!
//! A request that fails or takes long proves nothing about the others. It only raises a suspicion, upon which one
//! probe opens a connection of its own; what that finds is what counts:
//!
//! - it succeeds: PostgreSQL is there, however slow single statements may be;
//! - it is refused: no connection is opened any more, but those that are open go on being used. That is so while
//!   `max_connections` is used up, and while PostgreSQL is gone there are no open ones soon;
//! - it is not answered, and no other statement was meanwhile: PostgreSQL is frozen or the path swallows
//!   packets, and every request is refused.
//!
//! While PostgreSQL is away, a probe is sent again every 100 ms.

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

/// How long a probe may go unanswered before another is sent, though it may still succeed. Opening a connection
/// is about seven round trips, so this is enough for a path of 200 ms.
const PATIENCE: Duration = Duration::from_millis(1500);
const BETWEEN_PROBES_WHILE_AWAY: Duration = Duration::from_millis(100);
/// What only changed settings mend is asked for less often, since servers may lock out who fails to log in.
const BETWEEN_REFUSED_PROBES: Duration = Duration::from_secs(5);
const BETWEEN_PROBES: Duration = Duration::from_millis(250);

/// Why PostgreSQL is away, and since when.
#[derive(Clone, Debug)]
pub struct Away {
    pub since: Instant,
    /// It does not answer at all, so open connections are not used either.
    pub is_silent: bool,
    /// In one line.
    pub cause: String,
}

/// What is known now, for everybody.
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

    /// How often PostgreSQL went away.
    pub fn outages(&self) -> u64 {
        self.outages.load(Ordering::Relaxed)
    }

    /// PostgreSQL has answered.
    pub fn answered(&self) {
        self.answers.note(Instant::now());
    }

    /// How long it has been answering, as of its last answer.
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

    /// A request was not served: a probe finds out why.
    pub fn suspect(&self) {
        if !self.suspected.swap(true, Ordering::Relaxed) {
            self.tell(Event::Suspicion);
        }
    }

    /// For the thread that judges.
    pub fn tell(&self, event: Event) {
        // At the end of the process the receiver is gone.
        let _ = self.events.send(event);
    }
}

/// What the thread that judges remembers.
pub(super) struct Judge {
    /// When the probe that is waited for began.
    probe: Option<Instant>,
    not_before: Instant,
}

impl Judge {
    pub fn new(now: Instant) -> Self {
        Self { probe: None, not_before: now }
    }

    /// A probe has ended. True if PostgreSQL is back after it was silent.
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
                    tracing::info!(seconds, "PostgreSQL can be reached again");
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
            // It took longer than it may, and knows nothing of now.
            Err(_) => false,
        }
    }

    /// Judges the silence of the probe that is under way; true if one is to begin now, for which there has to
    /// be `room`.
    pub fn turn(&mut self, reach: &Reach, room: bool, now: Instant) -> bool {
        if let Some(began) = self.probe.filter(|began| now - *began >= PATIENCE) {
            set_away(reach, !reach.was_answered_since(began), "it does not answer".into(), now);
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

    /// How long there is nothing to do but to wait for events.
    pub fn rest(&self, reach: &Reach, longest: Duration, now: Instant) -> Duration {
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
            "PostgreSQL does not answer: requests that need it are refused"
        } else {
            "no connection to PostgreSQL can be opened: requests that need a new one are refused"
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
    fn a_suspicion_that_the_probe_does_not_bear_out_is_forgotten() {
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
    fn what_refuses_the_probe_is_asked_again_until_it_does_not() {
        let mut trial = Trial::new();
        trial.reach.suspect();
        assert!(trial.turn(0));
        trial.probed(0, 2, Err("connection refused"));
        assert_eq!(trial.silent(), Some(false), "open connections go on");
        assert!(!trial.turn(50) && trial.turn(110));
        trial.probed(110, 112, Err("the database system is starting up"));
        assert!(trial.turn(220));
        assert!(!trial.probed(220, 225, Ok(())));
        assert_eq!((trial.silent(), trial.reach.outages()), (None, 1));
    }

    #[test]
    fn what_only_changed_settings_mend_is_asked_for_every_five_seconds() {
        let mut trial = Trial::new();
        trial.reach.suspect();
        assert!(trial.turn(0));
        trial.probed(0, 2, Err("a wrong password"));
        assert!(!trial.turn(4900) && trial.turn(5002));
    }

    #[test]
    fn silence_is_refused_until_a_probe_is_let_in_and_open_connections_are_not_trusted_then() {
        let mut trial = Trial::new();
        trial.reach.suspect();
        assert!(trial.turn(0));
        assert!(!trial.turn(1400));
        assert_eq!(trial.silent(), None);
        assert!(trial.turn(1500), "another is sent");
        assert_eq!(trial.silent(), Some(true));
        trial.probed(0, 2000, Err("timeout expired"));
        assert_eq!(trial.silent(), Some(true), "that libpq gives up is no answer");
        assert!(trial.turn(3000));
        assert!(trial.probed(1500, 3200, Ok(())), "a late answer is one");
        assert_eq!((trial.silent(), trial.reach.outages()), (None, 1));
        trial.probed(3000, 5000, Err("timeout expired"));
        assert_eq!(trial.silent(), None);
    }

    #[test]
    fn a_probe_that_hangs_while_others_are_answered_is_no_silence() {
        let mut trial = Trial::new();
        trial.reach.suspect();
        let begin = Instant::now();
        trial.judge = Judge::new(begin);
        assert!(trial.judge.turn(&trial.reach, true, begin));
        trial.reach.answered();
        trial.judge.turn(&trial.reach, true, begin + Duration::from_millis(1500));
        assert_eq!(trial.silent(), Some(false), "only what is new hangs");
    }
}
