//! Measures whether the time of a response reveals if an address has an account.
//!
//! The statistic is that of Mann and Whitney (1947): how often a request for a known address takes longer than one for
//! an unknown address. One half means that the time reveals nothing. The deviation is given in standard errors,
//! sqrt((n + m + 1) / (12 n m)). Both kinds of requests are mixed at random on one connection, so other work on the
//! machine affects both. It detects a share of 0.525 with 3,000 requests of each kind, and of 0.58 with 300 (where
//! bcrypt takes long).

use std::time::Instant;

use anyhow::{Context, Result, ensure};
use mintage_bench::{
    http::Connection,
    process::{Home, Mintage, PASSWORD},
};

use crate::Row;

/// Two-sided, a tenth of a percent.
const MAX_STANDARD_ERRORS: f64 = 3.3;
const KNOWN: &str = "ada@example.com";
/// Registered, and not confirmed yet.
const PENDING: &str = "bob@example.com";

pub fn enumeration() -> Result<Vec<Row>> {
    let home = Home::new()?;
    let off = [("BCRYPT_COST", "10"), ("REQUIRE_CONFIRMATION", "off")];
    Mintage::start_with(&home.0, &off)?.log_in(KNOWN)?;
    let on = [("BCRYPT_COST", "10"), ("REQUIRE_CONFIRMATION", "on"), ("MAIL_TRANSPORT", "file")];
    let server = Mintage::start_with(&home.0, &on)?;
    let with = |password: &'static str| {
        move |email: &str| format!(r#"{{"email":"{email}","password":"{password}"}}"#)
    };
    let only = |email: &str| format!(r#"{{"email":"{email}"}}"#);
    let wrong = || with("a wrong password");
    let registration = with(PASSWORD)(PENDING);
    Connection::open(&server.address)?.post("/api/v1/auth/register", &registration)?;
    let compared = [
        ("login", compare(&server, "/api/v1/auth/login", KNOWN, 300, &[401], wrong())?),
        (
            "login to a pending registration",
            compare(&server, "/api/v1/auth/login", PENDING, 300, &[401], wrong())?,
        ),
        ("register", compare(&server, "/api/v1/auth/register", KNOWN, 300, &[202], with(PASSWORD))?),
        ("confirm/resend", compare(&server, "/api/v1/auth/confirm/resend", KNOWN, 3000, &[202], only)?),
        ("password/forgot", compare(&server, "/api/v1/auth/password/forgot", KNOWN, 3000, &[202], only)?),
    ];
    let worst = compared.iter().map(|(_, (_, deviation))| deviation.abs()).fold(0.0, f64::max);
    let listed = compared.iter().map(|(name, (share, _))| format!("{name} {share:.3}"));
    Ok(vec![Row {
        what: "timing of `register`, `login`, `confirm/resend` and `password/forgot`: share of pairs in which the known address is slower than an unknown one",
        measured: listed.collect::<Vec<_>>().join(", "),
        result: format!("at most {worst:.1} standard errors from a half"),
        target: "<= 3.3 standard errors",
        met: worst <= MAX_STANDARD_ERRORS,
    }])
}

/// Returns how often the known address is slower, and by how many standard errors this exceeds one half.
fn compare(
    server: &Mintage,
    path: &str,
    known_email: &str,
    pairs: usize,
    expected: &[u16],
    body: impl Fn(&str) -> String,
) -> Result<(f64, f64)> {
    let mut connection = Connection::open(&server.address)?;
    let mut random: u64 = 0x9E37_79B9_7F4A_7C15;
    let (mut known, mut unknown) = (Vec::new(), Vec::new());
    for number in 0.. {
        // xorshift (Marsaglia 2003)
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        let is_known = random & 1 == 0;
        let email = if is_known { known_email.into() } else { format!("new{number:05}@example.com") };
        let body = body(&email);
        let began = Instant::now();
        let answer = connection.post(path, &body)?;
        let taken = began.elapsed().as_secs_f64();
        ensure!(expected.contains(&answer.status), "{path}: {} {}", answer.status, answer.body);
        let of_it = if is_known { &mut known } else { &mut unknown };
        if of_it.len() < pairs {
            of_it.push(taken);
        }
        if known.len().min(unknown.len()) == pairs {
            break;
        }
    }
    mann_whitney(&known, &unknown).context("no samples")
}

fn mann_whitney(one: &[f64], other: &[f64]) -> Option<(f64, f64)> {
    let (n, m) = (one.len() as f64, other.len() as f64);
    let slower: f64 = one.iter().map(|a| other.iter().map(|b| wins(*a, *b)).sum::<f64>()).sum();
    let share = slower / (n * m);
    let error = ((n + m + 1.0) / (12.0 * n * m)).sqrt();
    share.is_finite().then_some((share, (share - 0.5) / error))
}

fn wins(a: f64, b: f64) -> f64 {
    if a > b {
        1.0
    } else if a < b {
        0.0
    } else {
        0.5
    }
}

#[cfg(test)]
mod tests {
    use super::mann_whitney;

    #[test]
    fn the_statistic_sees_differences_and_nothing_else() {
        let slow: Vec<f64> = (0..100).map(|n| f64::from(n) + 10.0).collect();
        let fast: Vec<f64> = (0..100).map(f64::from).collect();
        let (share, deviation) = mann_whitney(&slow, &fast).expect("samples");
        assert!((share - 0.595).abs() < 0.001 && deviation > 2.0, "{share} {deviation}");
        assert_eq!(mann_whitney(&fast, &fast), Some((0.5, 0.0)));
    }
}
