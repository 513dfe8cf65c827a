//! Decides when the key ring changes by itself: the key that signs is replaced after `JWT_KEY_ROTATION`, and when
//! `JWT_ALGORITHM` was changed. Pure rules; [`key_changes`](super::key_changes) carries them out.

use chrono::{DateTime, TimeDelta, Utc};

use crate::config::{self, SigningAlgorithm};

/// How long the key set may be cached (`Cache-Control` of the JWKS).
pub(super) const MAX_CACHE_AGE: TimeDelta = TimeDelta::minutes(5);
/// How long a key is published before it may sign: twice as long as the key set may be cached, so that a copy that was
/// made just before, through another cache, has expired as well.
pub(super) const MIN_PUBLISHED: TimeDelta = TimeDelta::minutes(10);

/// Since when a key has its state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// None for an algorithm that only a later version knows.
    pub(super) algorithm: Option<SigningAlgorithm>,
    /// A next key: since when it is published. The current one: since when it signs.
    pub(super) since: DateTime<Utc>,
}

/// The keys that the schedule is about.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ages {
    pub(super) current: Option<Standing>,
    pub(super) next: Option<Standing>,
}

/// The settings of the schedule.
#[derive(Clone, Copy, Debug)]
pub struct Schedule {
    pub algorithm: SigningAlgorithm,
    /// None: only a change of the algorithm replaces the current key.
    rotation: Option<TimeDelta>,
}

/// A change of the ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Publish a next key of the right algorithm.
    Announce,
    /// Let the next key sign.
    Promote,
}

impl Schedule {
    pub fn new(settings: &config::Tokens) -> Self {
        let rotation =
            settings.key_rotation.map(|age| TimeDelta::from_std(age).expect("the settings are bounded"));
        Self { algorithm: settings.algorithm, rotation }
    }

    /// Whether something has to be done.
    pub fn is_due(&self, ages: &Ages, now: DateTime<Utc>) -> bool {
        self.due(ages, now).is_some()
    }

    pub(super) fn due(&self, ages: &Ages, now: DateTime<Utc>) -> Option<Step> {
        let Some(next) = ages.next.as_ref().filter(|next| next.algorithm == Some(self.algorithm)) else {
            return Some(Step::Announce);
        };
        let current = ages.current.as_ref()?;
        let is_known = next.since <= now - MIN_PUBLISHED;
        let is_old = self.rotation.is_some_and(|rotation| current.since <= now - rotation);
        (is_known && (is_old || current.algorithm != next.algorithm)).then_some(Step::Promote)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use strum::VariantArray;

    use super::*;

    fn at(minutes: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_800_000_000 + minutes * 60, 0).expect("a time")
    }

    fn algorithm() -> impl Strategy<Value = SigningAlgorithm> {
        prop::sample::select(SigningAlgorithm::VARIANTS)
    }

    #[test]
    fn a_key_is_published_for_longer_than_the_key_set_may_be_cached() {
        assert!(MAX_CACHE_AGE * 2 <= MIN_PUBLISHED);
    }

    proptest! {
        /// Whatever the settings become, and whenever the schedule is asked: the key that begins to sign was published
        /// for ten minutes, and without further changes the ring comes to rest with the algorithm of the setting.
        #[test]
        fn a_key_never_signs_before_it_was_published_long_enough(
            settings in prop::collection::vec((algorithm(), 0i64..30), 1..30), rotation in 60i64..200,
        ) {
            let standing = |algorithm, minute| Some(Standing { algorithm: Some(algorithm), since: at(minute) });
            let first = settings[0].0;
            let mut ages = Ages { current: standing(first, 0), next: standing(first, 0) };
            let mut minute = 0;
            let last = settings[settings.len() - 1].0;
            for (algorithm, wait) in settings.into_iter().chain([(last, 0), (last, 10), (last, 0)]) {
                minute += wait;
                let schedule = Schedule { algorithm, rotation: Some(TimeDelta::minutes(rotation)) };
                match schedule.due(&ages, at(minute)) {
                    Some(Step::Announce) => ages.next = standing(algorithm, minute),
                    Some(Step::Promote) => {
                        let next = ages.next.take().expect("there is one");
                        prop_assert!(next.since <= at(minute) - MIN_PUBLISHED);
                        ages = Ages {
                            current: Some(Standing { since: at(minute), ..next }),
                            next: standing(algorithm, minute),
                        };
                    }
                    None => {}
                }
            }
            prop_assert_eq!(ages.current.expect("there is one").algorithm, Some(last));
        }
    }

    #[test]
    fn the_current_key_is_replaced_at_its_age_if_that_is_set() {
        let standing =
            |minute| Some(Standing { algorithm: Some(SigningAlgorithm::EdDsa), since: at(minute) });
        let ages = Ages { current: standing(0), next: standing(0) };
        let schedule = |rotation| Schedule { algorithm: SigningAlgorithm::EdDsa, rotation };
        let hour = schedule(Some(TimeDelta::hours(1)));
        assert_eq!(hour.due(&ages, at(59)), None);
        assert_eq!(hour.due(&ages, at(60)), Some(Step::Promote));
        assert_eq!(schedule(None).due(&ages, at(1_000_000)), None);
        let young = Ages { next: standing(55), ..ages };
        assert_eq!(hour.due(&young, at(64)), None);
        assert_eq!(hour.due(&young, at(65)), Some(Step::Promote));
    }
}
