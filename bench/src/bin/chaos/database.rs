//! PostgreSQL is killed, frozen, cut off, or slow.

use std::{
    sync::{Arc, Mutex},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Result, ensure};
use mintage_bench::http::{Connection, member};

use crate::{
    Row,
    cluster::Cluster,
    load::{Ask, Load, Sample, percentile},
    path::Path,
    server::{Account, Server, credentials, wait_for},
};

const AWAY: Duration = Duration::from_secs(4);
const BEFORE: Duration = Duration::from_millis(700);
const AFTER: Duration = Duration::from_secs(2);

/// The addresses whose registration was acknowledged.
pub type Ledger = Arc<Mutex<Vec<String>>>;

pub fn killed(cluster: &mut Cluster) -> Result<Vec<Row>> {
    let server = Server::start(cluster.url(), &[])?;
    let mut rows = Vec::new();
    for clients in [8, 16, 32, 100] {
        let accounts = server.accounts(&format!("killed{clients}-"), clients)?;
        let ledger = Ledger::default();
        let load = Load::start(&server.address, mixture(accounts, &ledger));
        let beside = Load::paced(&server.address, what_needs_no_database(&server)?, Duration::from_millis(5));
        thread::sleep(BEFORE);
        let gone_at = Instant::now();
        cluster.kill()?;
        thread::sleep(AWAY);
        cluster.start_again()?;
        let back_at = Instant::now();
        thread::sleep(AFTER);
        let (samples, beside) = (load.stop(), beside.stop());
        wait_for("recovery", || server.account(&format!("after{clients}@example.com")).is_ok())?;
        let name = format!("PostgreSQL is killed (SIGKILL) for 4 s, {clients} clients");
        rows.push(refusals(&name, &samples, gone_at, 550.0));
        rows.push(recovery(&name, &samples, back_at));
        rows.push(others(&name, &beside));
        rows.push(acknowledged(&name, cluster, &samples, &ledger)?);
    }
    Ok(rows)
}

pub fn frozen(cluster: &mut Cluster) -> Result<Vec<Row>> {
    let server = Server::start(cluster.url(), &[])?;
    let ledger = Ledger::default();
    let load = Load::start(&server.address, mixture(server.accounts("frozen", 32)?, &ledger));
    let beside = Load::paced(&server.address, what_needs_no_database(&server)?, Duration::from_millis(5));
    thread::sleep(BEFORE);
    let gone_at = Instant::now();
    cluster.freeze()?;
    thread::sleep(Duration::from_secs(6));
    cluster.thaw()?;
    let back_at = Instant::now();
    thread::sleep(AFTER);
    let (samples, beside) = (load.stop(), beside.stop());
    let name = "PostgreSQL is frozen (SIGSTOP) for 6 s, 32 clients";
    Ok(vec![
        refusals(name, &samples, gone_at, 2_050.0),
        recovery(name, &samples, back_at),
        others(name, &beside),
        acknowledged(name, cluster, &samples, &ledger)?,
    ])
}

pub fn dropped(cluster: &mut Cluster) -> Result<Vec<Row>> {
    let path = Path::to(cluster.socket()?)?;
    let server = Server::start(&path.url(), &[])?;
    let mut rows = Vec::new();
    for (times, most) in [(1, 26), (4, 4 * 26)] {
        let ledger = Ledger::default();
        let load =
            Load::start(&server.address, mixture(server.accounts(&format!("cut{times}-"), 16)?, &ledger));
        thread::sleep(BEFORE);
        for _ in 1..times {
            path.cut();
            thread::sleep(Duration::from_secs(1));
        }
        let cut_at = Instant::now();
        path.cut();
        thread::sleep(AFTER);
        let samples = load.stop();
        let name = format!("All connections to PostgreSQL are cut, {times} times, 16 clients");
        let failed = samples.iter().filter(|sample| sample.is(503)).count();
        let target = format!("<= {most} (connections of the pool and clients)");
        rows.push(Row::exact(&name, "503", &target, failed, failed <= most));
        rows.push(recovery(&name, &samples, cut_at));
        rows.push(acknowledged(&name, cluster, &samples, &ledger)?);
    }
    Ok(rows)
}

pub fn half_open(cluster: &mut Cluster) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    for clients in [4, 24] {
        let path = Path::to(cluster.socket()?)?;
        let server = Server::start(&path.url(), &[])?;
        let ledger = Ledger::default();
        let accounts = server.accounts(&format!("half-open{clients}-"), clients)?;
        let load = Load::start(&server.address, mixture(accounts, &ledger));
        thread::sleep(BEFORE);
        path.swallow_all(true);
        thread::sleep(Duration::from_secs(6));
        path.swallow_all(false);
        let back_at = Instant::now();
        thread::sleep(Duration::from_secs(8));
        let samples = load.stop();
        let name = format!(
            "Connections to PostgreSQL are half-open for 6 s, and the old ones for ever, {clients} clients"
        );
        let first =
            samples.iter().filter(|one| one.is_success() && one.began >= back_at).map(Sample::ended).min();
        let after = first.map(|at| at - back_at);
        let text = after.map_or("never".into(), |after| format!("{:.1} s", after.as_secs_f64()));
        let in_time = after.is_some_and(|after| after <= Duration::from_secs(5));
        rows.push(Row::timed(&name, "back", "<= 5 s", text, in_time));
        rows.push(Row::exact(&name, "back by itself", "yes", after.is_some(), after.is_some()));
        rows.push(acknowledged(&name, cluster, &samples, &ledger)?);
    }
    Ok(rows)
}

pub fn slow_path(cluster: &mut Cluster) -> Result<Vec<Row>> {
    let path = Path::to(cluster.socket()?)?;
    let server = Server::start(&path.url(), &[])?;
    let ledger = Ledger::default();
    let accounts = server.accounts("slow", 8)?;
    path.delay(Duration::from_millis(25));
    let load = Load::start(&server.address, mixture(accounts, &ledger));
    thread::sleep(Duration::from_secs(6));
    let samples = load.stop();
    path.delay(Duration::ZERO);
    let name = "PostgreSQL is 25 ms away (each direction), 8 clients";
    let failed = samples.iter().filter(|sample| !sample.is_success()).count();
    let text = format!("{failed} of {}", samples.len());
    Ok(vec![
        Row::exact(name, "failed", "0", text, failed == 0),
        acknowledged(name, cluster, &samples, &ledger)?,
    ])
}

/// A quarter each: read the own account, refresh, log in, register.
pub fn mixture(accounts: Vec<Account>, ledger: &Ledger) -> Vec<Ask> {
    let asks = accounts.into_iter().enumerate().map(|(number, account)| match number % 4 {
        0 => read(account),
        1 => refresh(account),
        2 => log_in(account),
        _ => register(&account, ledger),
    });
    asks.collect()
}

fn read(account: Account) -> Ask {
    Box::new(move |connection| connection.get("/api/v1/user", &account.access))
}

/// A client that keeps the newest refresh token it has received.
pub fn refresh(mut account: Account) -> Ask {
    Box::new(move |connection| {
        let body = format!(r#"{{"refresh_token":"{}"}}"#, account.refresh);
        let answer = connection.post("/api/v1/auth/refresh", &body)?;
        if answer.status == 200 {
            account.refresh = member(&answer.body, "refresh_token")?;
        }
        Ok(answer)
    })
}

pub fn log_in(account: Account) -> Ask {
    Box::new(move |connection| connection.post("/api/v1/auth/login", &credentials(&account.email)))
}

pub fn register(account: &Account, ledger: &Ledger) -> Ask {
    let (mut number, prefix, ledger) = (0, account.email.clone(), ledger.clone());
    Box::new(move |connection| {
        number += 1;
        let email = format!("n{number}.{prefix}");
        let answer = connection.post("/api/v1/auth/register", &credentials(&email))?;
        if answer.status == 201 {
            ledger.lock().expect("lock").push(email);
        }
        Ok(answer)
    })
}

/// `/coins`, `/healthz` and `/readyz`, one client each.
fn what_needs_no_database(server: &Server) -> Result<Vec<Ask>> {
    static NUMBER: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
    let number = NUMBER.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    let token = server.account(&format!("beside{number}@example.com"))?.access;
    let ask = |path: &'static str| -> Ask {
        let token = token.clone();
        Box::new(move |connection: &mut Connection| connection.get(path, &token))
    };
    Ok(vec![ask("/api/v1/coins"), ask("/healthz"), ask("/readyz")])
}

fn refusals(name: &str, samples: &[Sample], gone_at: Instant, most: f64) -> Row {
    let refused: Vec<_> = samples.iter().filter(|one| one.is(503) && one.ended() >= gone_at).collect();
    let p99 = percentile(refused.iter().copied(), 99);
    let p50 = percentile(refused.iter().copied(), 50);
    let text = format!("p50 {p50:.1} ms, p99 {p99:.0} ms of {}", refused.len());
    Row::timed(name, "503", &format!("p99 <= {most:.0} ms"), text, p99 <= most && !refused.is_empty())
}

fn recovery(name: &str, samples: &[Sample], back_at: Instant) -> Row {
    let after = samples.iter().filter(|one| one.began >= back_at);
    let first = after.filter(|one| one.is_success()).map(|one| one.ended() - back_at).min();
    let last = samples.iter().filter(|one| !one.is_success() && one.ended() >= back_at);
    let last = last.map(|one| one.ended() - back_at).max().unwrap_or_default();
    let Some(first) = first else {
        return Row::exact(name, "back", "<= 1 s", "never", false);
    };
    let text = format!(
        "first success {:.0} ms, last failure {:.0} ms",
        first.as_secs_f64() * 1e3,
        last.as_secs_f64() * 1e3
    );
    Row::timed(name, "back", "<= 1 s", text, first.max(last) <= Duration::from_secs(1))
}

fn others(name: &str, samples: &[Sample]) -> Row {
    let failed = samples.iter().filter(|one| !one.is(200)).count();
    let p99 = percentile(samples, 99);
    let text = format!("{failed} of {} failed, p99 {p99:.1} ms", samples.len());
    Row::exact(
        name,
        "`/coins`, `/healthz`, `/readyz` meanwhile",
        "all 200",
        text,
        failed == 0 && !samples.is_empty(),
    )
}

/// Checks that there were only successes and 503 with `Retry-After`, and that everything acknowledged was stored.
pub fn acknowledged(name: &str, cluster: &Cluster, samples: &[Sample], ledger: &Ledger) -> Result<Row> {
    ensure!(samples.iter().any(Sample::is_success), "{name}: no request succeeded, so nothing was tried");
    let odd = samples.iter().filter(|one| {
        let refused = one.is(503) && one.retry_after.is_some();
        !refused && !one.is_success()
    });
    let odd = odd.count();
    let ledger = ledger.lock().expect("lock");
    let known = cluster.number(
        "SELECT count(*) AS number FROM users WHERE email = ANY (string_to_array($1, ' '))",
        &ledger.join(" "),
    )?;
    let lost = ledger.len() - usize::try_from(known)?;
    let text = format!("{odd} of {}; {lost} of {} registrations lost", samples.len(), ledger.len());
    Ok(Row::exact(
        name,
        "other than success and 503 with `Retry-After`; lost",
        "0; 0",
        text,
        odd == 0 && lost == 0,
    ))
}
