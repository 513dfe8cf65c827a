//! Calls other services, such as market data providers and social sources, within limits.
//!
//! - **A call** ([`Upstream`]) has a time limit from connecting to the last byte, and a size limit for the body after
//!   decompression. Redirects are not followed. A body is read as JSON only with a `Content-Type` of JSON. Our own keys
//!   are masked in every answer before it is read ([`Mask`]), so that a service that repeats them puts them neither
//!   into the log nor into the database.
//! - **A failure** ([`Failure`]) has a text without addresses and an [`Advice`] when to call again, which honours
//!   `Retry-After` and the usual rate-limit headers.
//! - **The ledger** ([`ServiceState`]) keeps back-off and budget of each service in the database, for all replicas.
//! - **Outcomes** ([`Outcomes`]) count the calls of this process for the metrics.

mod failure;
mod ledger;
mod outcomes;
mod readable;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use chrono::{DateTime, Utc};
use reqwest::{
    Client, RequestBuilder, StatusCode,
    header::{self, HeaderMap, HeaderValue},
    redirect,
};
use tokio::time;

pub use self::{
    failure::{Advice, Failure, after_failure, clean},
    ledger::{
        Budget, Limits, MAX_WAIT, ServiceState, clear_stops, next_day, record_failure,
        record_isolated_failure, record_success, refund, reserve, settle, state, states,
    },
    outcomes::Outcomes,
    readable::Readable,
};
use crate::config::Mask;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// In bytes; the longest list of a provider has about 3 MB.
pub const MAX_BODY_SIZE: usize = 8 * 1024 * 1024;
const MAX_RETRY_AFTER: Duration = Duration::from_hours(24);
const MAX_TRIES: u32 = 3;
/// The wait after a 429 that does not state one.
const RATE_LIMIT_WAIT: Duration = Duration::from_mins(1);

/// A client for all services.
#[derive(Clone)]
pub struct Upstream {
    http: Client,
    timeout: Duration,
    mask: Mask,
    outcomes: Arc<Outcomes>,
}

/// The answer of a service, of any status.
#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
}

impl Upstream {
    /// Makes a client. `timeout` limits one call, and `mask` hides the keys that are sent.
    ///
    /// # Panics
    /// If no TLS back end is available, which is an error of the build.
    pub fn new(timeout: Duration, mask: Mask) -> Self {
        let http = Client::builder()
            .connect_timeout(CONNECT_TIMEOUT.min(timeout))
            .timeout(timeout)
            .redirect(redirect::Policy::none())
            .user_agent(concat!("mintage/", env!("CARGO_PKG_VERSION")))
            .build()
            .expect("constant settings");
        Self { http, timeout, mask, outcomes: Arc::default() }
    }

    /// The outcomes of the calls of this client and its clones; callers count them.
    pub fn outcomes(&self) -> &Outcomes {
        &self.outcomes
    }

    /// Begins a request for JSON. Put secrets into headers, never into the address, because proxies may log it.
    pub fn get(&self, url: &str) -> RequestBuilder {
        self.get_as(url, "application/json")
    }

    /// As [`Upstream::get`], for another media type.
    pub fn get_as(&self, url: &str, media_type: &'static str) -> RequestBuilder {
        self.http.get(url).header(header::ACCEPT, media_type)
    }

    /// The time limit of a call with its retries.
    pub fn total_timeout(&self) -> Duration {
        self.timeout * 3 / 2
    }

    /// Sends a request once.
    pub async fn send(&self, request: RequestBuilder) -> Result<Answer, Failure> {
        self.send_bounded(request, MAX_BODY_SIZE).await
    }

    /// As [`Upstream::send`], with a lower limit for the body.
    pub async fn send_bounded(&self, request: RequestBuilder, max_body: usize) -> Result<Answer, Failure> {
        let mut response = request.send().await.map_err(|error| transport_failure(&error))?;
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| transport_failure(&error))? {
            if body.len() + chunk.len() > max_body {
                return Err(Failure::unusable_answer("the body is too large"));
            }
            body.extend_from_slice(&chunk);
        }
        let mut headers = response.headers().clone();
        for value in headers.values_mut() {
            let masked = self.mask.bytes(value.as_bytes()).into_owned();
            if masked != value.as_bytes() {
                *value = HeaderValue::from_bytes(&masked).expect("parts of a value make one");
            }
        }
        Ok(Answer { status: response.status(), headers, body: self.mask.bytes(body).into_owned() })
    }

    /// Retries a call whose failure may pass within seconds: at most [`MAX_TRIES`] tries within
    /// [`Upstream::total_timeout`]. `call` gets the number of the try, from 1.
    pub async fn retry<T>(&self, mut call: impl AsyncFnMut(u32) -> Result<T, Failure>) -> Result<T, Failure> {
        let begin = Instant::now();
        let late = || Failure::new(Advice::BackOff, "no answer in time");
        let mut number = 1;
        loop {
            let left = self.total_timeout().saturating_sub(begin.elapsed());
            let result = time::timeout(left, call(number)).await.unwrap_or_else(|_| Err(late()));
            let wait = match &result {
                Err(failure) if number < MAX_TRIES => brief_wait(failure.advice, number),
                _ => None,
            };
            // No try begins without enough time for a whole call.
            match wait.map(|wait| wait + jitter(wait)) {
                Some(wait) if begin.elapsed() + wait + self.timeout <= self.total_timeout() => {
                    time::sleep(wait).await;
                }
                _ => return result,
            }
            number += 1;
        }
    }
}

impl Answer {
    /// Returns the body of a success that is declared as JSON.
    pub fn json(&self, now: DateTime<Utc>) -> Result<&[u8], Failure> {
        if !self.status.is_success() {
            return Err(self.refusal(now));
        }
        let content_type = self.headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let media_type = content_type.unwrap_or_default().split(';').next().unwrap_or_default().trim();
        if media_type.eq_ignore_ascii_case("application/json") || media_type.ends_with("+json") {
            return Ok(&self.body);
        }
        Err(Failure::unusable_answer(format!("the answer is not JSON but \"{media_type}\"")))
    }

    /// Makes a failure from the status and the headers. It is never [`Advice::Stop`], since a plain 403 may come from any
    /// proxy on the way; only a body of the service itself can mean that an operator has to act.
    pub fn refusal(&self, now: DateTime<Utc>) -> Failure {
        let message = format!("HTTP {}", self.status.as_u16());
        let failure = match self.status.as_u16() {
            429 => Failure::new(Advice::After(RATE_LIMIT_WAIT), message),
            401..=403 => Failure::new(Advice::BackOff, message),
            400..=599 => Failure::unusable_answer(message),
            _ => Failure::new(Advice::BackOff, message),
        };
        self.add_retry_after(failure, now)
    }

    /// Adds the wait that the headers state to a failure that may pass by itself.
    pub fn add_retry_after(&self, mut failure: Failure, now: DateTime<Utc>) -> Failure {
        if let (Some(wait), Advice::BackOff | Advice::After(_)) = (self.wait(now), failure.advice) {
            failure = Failure { advice: Advice::After(wait), isolated: false, ..failure };
        }
        failure
    }

    /// Reads `Retry-After` (RFC 9110 section 10.2.3), or for a 429 the reset of the rate limit: in seconds, as Unix time
    /// or as a date.
    fn wait(&self, now: DateTime<Utc>) -> Option<Duration> {
        const RESETS: [&str; 3] = ["x-rate-limit-reset", "x-ratelimit-reset", "ratelimit-reset"];
        let text = |name: &str| self.headers.get(name).and_then(|value| value.to_str().ok());
        let limited = self.status == StatusCode::TOO_MANY_REQUESTS;
        let hint = text("retry-after")
            .or_else(|| RESETS.into_iter().find_map(text).filter(|_| limited))
            .and_then(|text| wait_until(text.trim(), now));
        Some(hint?.min(MAX_RETRY_AFTER))
    }
}

fn wait_until(text: &str, now: DateTime<Utc>) -> Option<Duration> {
    /// A larger number of seconds is a point in time.
    const UNIX_TIME: u64 = 1_000_000_000;
    let date = match text.parse::<u64>() {
        Ok(seconds) if seconds < UNIX_TIME => return Some(Duration::from_secs(seconds)),
        Ok(seconds) => DateTime::from_timestamp(i64::try_from(seconds).ok()?, 0)?,
        Err(_) => {
            DateTime::parse_from_rfc2822(text).or_else(|_| DateTime::parse_from_rfc3339(text)).ok()?.to_utc()
        }
    };
    Some((date - now).to_std().unwrap_or_default())
}

/// Makes a failure with the cause only, since the text of reqwest may hold the address.
fn transport_failure(error: &reqwest::Error) -> Failure {
    let message = match error {
        error if error.is_timeout() => "no answer in time",
        error if error.is_connect() => "cannot be reached",
        error if error.is_decode() => return Failure::unusable_answer("the body cannot be read"),
        _ => "the connection broke",
    };
    Failure::new(Advice::BackOff, message)
}

/// Returns how long to wait after the try of this number; None if there should be no other.
fn brief_wait(advice: Advice, number: u32) -> Option<Duration> {
    match advice {
        Advice::BackOff => Some(Duration::from_millis(500) * 3u32.pow(number - 1)),
        Advice::After(wait) if wait <= Duration::from_secs(3) => Some(wait),
        Advice::After(_) | Advice::NextDay | Advice::Stop => None,
    }
}

/// Returns a random part of `wait`, up to half of it, so that replicas do not retry at the same time.
pub(super) fn jitter(wait: Duration) -> Duration {
    wait.mul_f64(fastrand::f64() / 2.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, headers: &[(&'static str, &str)]) -> Answer {
        let headers = headers.iter().map(|(name, value)| {
            (header::HeaderName::from_static(name), header::HeaderValue::from_str(value).expect("header"))
        });
        let status = StatusCode::from_u16(status).expect("status");
        Answer { status, headers: headers.collect(), body: b"{}".to_vec() }
    }

    #[test]
    fn a_refusal_advises_when_to_call_again() {
        let now = "2026-11-20T10:00:00Z".parse().expect("time");
        let after = |seconds| Advice::After(Duration::from_secs(seconds));
        for (status, header, advice) in [
            (429, None, after(60)),
            (500, None, Advice::BackOff),
            (403, None, Advice::BackOff),
            (503, Some(("retry-after", "7")), after(7)),
            (429, Some(("retry-after", "Fri, 20 Nov 2026 10:01:30 GMT")), after(90)),
            (429, Some(("retry-after", "Fri, 20 Nov 2026 09:00:00 GMT")), after(0)),
            (429, Some(("retry-after", "99999999")), after(86_400)),
            (429, Some(("retry-after", "soon")), after(60)),
            (429, Some(("x-rate-limit-reset", "1795168920")), after(120)),
            (429, Some(("x-ratelimit-reset", "2026-11-20T10:05:00.000Z")), after(300)),
            (200, Some(("x-ratelimit-reset", "99")), Advice::BackOff),
        ] {
            let headers: Vec<_> = header.into_iter().collect();
            assert_eq!(answer(status, &headers).refusal(now).advice, advice, "{status} {header:?}");
        }
    }

    #[test]
    fn a_refused_request_is_distinguished_from_a_refused_client() {
        let isolated = |status, headers: &[_]| answer(status, headers).refusal(DateTime::UNIX_EPOCH).isolated;
        for status in [400, 404, 410, 422, 500, 503] {
            assert!(isolated(status, &[]), "{status}");
            assert!(!isolated(status, &[("retry-after", "7")]), "{status}");
        }
        for status in [302, 401, 402, 403, 429] {
            assert!(!isolated(status, &[]), "{status}");
        }
    }

    #[test]
    fn only_a_body_declared_as_json_is_read() {
        let json = |content_type| {
            answer(200, &[("content-type", content_type)]).json(DateTime::UNIX_EPOCH).map(<[u8]>::len)
        };
        for good in ["application/json", "Application/JSON; charset=utf-8", "application/problem+json"] {
            assert_eq!(json(good), Ok(2), "{good}");
        }
        for bad in ["text/html", "text/html; x=application/json", ""] {
            assert!(json(bad).is_err(), "{bad}");
        }
        assert!(answer(200, &[]).json(DateTime::UNIX_EPOCH).is_err());
    }
}
