//! Asks a service of breached passwords whether a password is known to attackers, by k-anonymity: it gets the first five
//! hexadecimal digits of the SHA-1 hash and answers with all hashes that begin so (<https://haveibeenpwned.com/API/v3>).
//!
//! Without an answer in time the password is allowed: another service must not decide whether people can log in here.

use std::{
    collections::VecDeque,
    fmt::Write,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use parking_lot::Mutex;
use tokio::sync::Semaphore;

use crate::{
    config::Mask,
    telemetry::{Exposition, MetricType},
    upstream::{Failure, Upstream},
};

/// From connecting to the last byte.
const TIMEOUT: Duration = Duration::from_secs(1);
/// In bytes; an answer with padding has about 60 KB.
const MAX_BODY: usize = 256 * 1024;
/// Calls at a time; without a place the password is allowed.
const MAX_CALLS: usize = 16;
/// How long an answer is used again: a registration and its confirmation check the same password.
const KEPT: Duration = Duration::from_mins(5);
const MAX_KEPT: usize = 32;
const LOG_INTERVAL: Duration = Duration::from_mins(1);
/// Hexadecimal digits of the hash that are sent.
const PREFIX: usize = 5;

/// Looks passwords up.
pub struct Breaches {
    upstream: Upstream,
    url: String,
    calls: Semaphore,
    answers: Mutex<VecDeque<Kept>>,
    logged: Mutex<Option<Instant>>,
    breached: AtomicU64,
    unknown: AtomicU64,
    failed: AtomicU64,
}

struct Kept {
    prefix: String,
    body: Arc<str>,
    until: Instant,
}

impl Breaches {
    /// Takes the address to which the prefix is appended, such as `https://api.pwnedpasswords.com/range`.
    pub fn new(url: &str) -> Self {
        let (answers, logged, breached, unknown, failed) = Default::default();
        let upstream = Upstream::new(TIMEOUT, Mask::default());
        let calls = Semaphore::new(MAX_CALLS);
        Self { upstream, url: url.to_owned(), calls, answers, logged, breached, unknown, failed }
    }

    /// Whether the password was seen in a breach; false without an answer.
    pub async fn contain(&self, password: &str) -> bool {
        let hash = sha1(password);
        let Some((prefix, suffix)) = hash.split_at_checked(PREFIX) else {
            return false;
        };
        match self.range(prefix).await {
            Ok(body) => {
                let is_breached = holds(&body, suffix);
                let outcome = if is_breached { &self.breached } else { &self.unknown };
                outcome.fetch_add(1, Ordering::Relaxed);
                is_breached
            }
            Err(error) => {
                self.failed.fetch_add(1, Ordering::Relaxed);
                self.log(&error);
                false
            }
        }
    }

    /// The hashes that begin with this prefix, without it.
    async fn range(&self, prefix: &str) -> Result<Arc<str>, String> {
        if let Some(body) = self.kept(prefix) {
            return Ok(body);
        }
        let _call = self.calls.try_acquire().map_err(|_| "too many calls at a time")?;
        let url = format!("{}/{prefix}", self.url);
        // Padding hides from the network which prefix was asked for.
        let request = self.upstream.get_as(&url, "text/plain").header("add-padding", "true");
        let answer = self.upstream.send_bounded(request, MAX_BODY).await;
        let answer = answer.map_err(|Failure { message, .. }| message)?;
        if answer.status != 200 {
            return Err(format!("HTTP {}", answer.status.as_u16()));
        }
        let body = String::from_utf8(answer.body).map_err(|_| "the answer is not text")?;
        if !body.lines().any(|line| entry(line).is_some()) {
            return Err("the answer is not a list of hashes".into());
        }
        let body: Arc<str> = body.into();
        self.keep(prefix, body.clone());
        Ok(body)
    }

    fn kept(&self, prefix: &str) -> Option<Arc<str>> {
        let mut answers = self.answers.lock();
        let now = Instant::now();
        answers.retain(|kept| kept.until > now);
        answers.iter().find(|kept| kept.prefix == prefix).map(|kept| kept.body.clone())
    }

    fn keep(&self, prefix: &str, body: Arc<str>) {
        let mut answers = self.answers.lock();
        if answers.len() >= MAX_KEPT {
            answers.pop_front();
        }
        answers.push_back(Kept { prefix: prefix.to_owned(), body, until: Instant::now() + KEPT });
    }

    fn log(&self, error: &str) {
        let mut logged = self.logged.lock();
        if logged.is_none_or(|at| at.elapsed() >= LOG_INTERVAL) {
            *logged = Some(Instant::now());
            tracing::warn!(error, "cannot look up breached passwords: new passwords are accepted without it");
        }
    }

    pub fn write(&self, metrics: &mut Exposition) {
        let name = "mintage_breach_lookups_total";
        let help = "Look-ups of breached passwords, by result.";
        let family = metrics.family(name, MetricType::Counter, help);
        for (result, count) in
            [("breached", &self.breached), ("unknown", &self.unknown), ("failed", &self.failed)]
        {
            family.sample(&[("result", result)], count.load(Ordering::Relaxed));
        }
    }
}

/// In upper-case hexadecimal digits.
fn sha1(password: &str) -> String {
    let hash = digest(&SHA1_FOR_LEGACY_USE_ONLY, password.as_bytes());
    hash.as_ref().iter().fold(String::with_capacity(40), |mut text, byte| {
        let _ = write!(text, "{byte:02X}");
        text
    })
}

/// Whether the list holds this hash with a count other than 0, which stands for padding.
fn holds(body: &str, suffix: &str) -> bool {
    body.lines().filter_map(entry).any(|(found, count)| count > 0 && found.eq_ignore_ascii_case(suffix))
}

/// The rest of a hash and how often it was seen; None for anything else.
fn entry(line: &str) -> Option<(&str, u64)> {
    let (suffix, count) = line.trim().split_once(':')?;
    let is_hash = suffix.len() == 40 - PREFIX && suffix.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_hash.then_some((suffix, count.trim().parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SUFFIX: &str = "1E4C9B93F3F0682250B6CF8331B7EE68FD8";

    #[test]
    fn the_hash_is_sha_1_in_upper_case() {
        assert_eq!(sha1("password"), format!("5BAA6{SUFFIX}"));
    }

    #[test]
    fn a_hash_counts_unless_it_is_padding() {
        for (body, expected) in [
            (format!("{SUFFIX}:9545824"), true),
            (format!("0018A45C4D1DEF81644B54AB7F969B88D65:1\r\n{SUFFIX}:1\r\n"), true),
            (SUFFIX.to_lowercase() + ":2", true),
            (format!("{SUFFIX}:0"), false),
            (format!("{SUFFIX}:"), false),
            (format!("{SUFFIX}:-1"), false),
            (format!("{SUFFIX}1:5"), false),
            (SUFFIX.to_owned(), false),
            (String::new(), false),
        ] {
            assert_eq!(holds(&body, SUFFIX), expected, "{body:?}");
        }
    }
}
