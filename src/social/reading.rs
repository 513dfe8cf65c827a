//! Decides when the reading of a source ends.

use super::post::Page;
use crate::upstream::{Advice, Failure};

/// Half of the limit of Mastodon for the five minutes of a slot.
const MAX_REQUESTS: u32 = 150;
/// Consecutive failures, each of one coin, after which the whole source counts as failed.
const MAX_FAILURES_IN_A_ROW: u32 = 3;

/// Counts the answers of a source in a slot, and decides when to stop.
#[derive(Default)]
pub struct Reading {
    requests: u32,
    failures_in_a_row: u32,
    /// At least one coin was answered.
    pub answered: bool,
    /// The newest failure of a single request, such as of one coin.
    pub isolated_failure: Option<Failure>,
    /// A failure of the whole source.
    pub failure: Option<Failure>,
    pub is_over: bool,
}

impl Reading {
    pub fn page(&mut self, page: &Page) {
        self.answered = true;
        self.failures_in_a_row = 0;
        self.requests += page.requests;
        self.is_over = page.enough || self.requests >= MAX_REQUESTS;
    }

    pub fn failed(&mut self, failure: Failure, coin: &str) {
        if !failure.isolated {
            self.failure = Some(failure);
            self.is_over = true;
            return;
        }
        let failure = failure.with_subject(coin);
        self.requests += 1;
        self.failures_in_a_row += 1;
        if self.failures_in_a_row == MAX_FAILURES_IN_A_ROW {
            self.failure = Some(failure);
            self.is_over = true;
        } else {
            self.isolated_failure = Some(failure);
        }
    }

    /// Ends the reading for lack of time. That is a failure only if nothing was answered.
    pub fn timed_out(&mut self) {
        self.is_over = true;
        if !self.answered {
            self.isolated_failure = Some(Failure::new(Advice::BackOff, "no answer in time"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn isolated() -> Failure {
        Failure { isolated: true, ..Failure::new(Advice::BackOff, "HTTP 500") }
    }

    #[test]
    fn three_failures_in_a_row_end_the_reading_and_a_page_begins_the_count_anew() {
        let mut reading = Reading::default();
        reading.failed(isolated(), "one");
        reading.failed(isolated(), "two");
        reading.page(&Page::default());
        reading.failed(isolated(), "three");
        reading.failed(isolated(), "four");
        assert!(!reading.is_over && reading.answered && reading.failure.is_none());
        reading.failed(isolated(), "five");
        assert!(reading.is_over);
        assert_eq!(reading.failure.expect("a failure").message, "five: HTTP 500");
    }

    #[test]
    fn a_failure_of_the_source_ends_the_reading_at_once() {
        let mut reading = Reading::default();
        reading.failed(Failure::new(Advice::Stop, "HTTP 401"), "one");
        assert!(reading.is_over);
        assert_eq!(reading.failure.expect("a failure").message, "HTTP 401");
    }

    #[test]
    fn a_limit_of_requests_ends_the_reading_without_a_failure() {
        let mut reading = Reading::default();
        reading.page(&Page { requests: MAX_REQUESTS - 1, ..Page::default() });
        assert!(!reading.is_over);
        reading.page(&Page { requests: 1, ..Page::default() });
        assert!(reading.is_over && reading.failure.is_none() && reading.isolated_failure.is_none());
        let mut reading = Reading::default();
        reading.page(&Page { enough: true, ..Page::default() });
        assert!(reading.is_over && reading.failure.is_none());
    }

    #[test]
    fn a_timeout_is_a_failure_only_if_nothing_was_answered() {
        let mut reading = Reading::default();
        reading.timed_out();
        assert!(reading.is_over && reading.isolated_failure.is_some());
        let mut reading = Reading::default();
        reading.page(&Page::default());
        reading.timed_out();
        assert!(reading.is_over && reading.isolated_failure.is_none());
    }
}
