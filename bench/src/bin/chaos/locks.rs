//! One row is locked, or all are slow: which users are affected.

use std::{thread, time::Duration};

use anyhow::{Result, ensure};
use diesel::connection::SimpleConnection;
use mintage_bench::http::Connection;

use crate::{
    Row,
    cluster::Cluster,
    database::{log_in, refresh},
    load::{Ask, Load, percentile},
    server::{Account, Server, session_of},
};

const ROUNDS: usize = 3;
const ROUND: Duration = Duration::from_millis(1500);
const OTHERS: usize = 8;

pub fn session_row(cluster: &mut Cluster) -> Result<Vec<Row>> {
    // So that the same token is accepted in all rounds.
    let server = Server::start(cluster.url(), &[("REFRESH_GRACE", "1m")])?;
    let owner = server.account("tabs@example.com")?;
    let lock = format!(
        "SELECT 1 / count(*) FROM (SELECT FROM sessions WHERE id = '{}' FOR UPDATE) AS held",
        session_of(&owner.access)?
    );
    let tabs = || (0..3).map(|_| same_refresh(&owner)).collect();
    let name = "A session row is locked, its owner refreshes in 3 tabs, 8 others refresh";
    others_go_on(name, cluster, &server, &lock, &tabs)
}

pub fn user_row(cluster: &mut Cluster) -> Result<Vec<Row>> {
    let server = Server::start(cluster.url(), &[])?;
    let owner = server.account("owner@example.com")?;
    let lock =
        "SELECT 1 / count(*) FROM (SELECT FROM users WHERE email = 'owner@example.com' FOR UPDATE) AS held";
    let tabs = || {
        let account =
            || Account { email: owner.email.clone(), access: String::new(), refresh: String::new() };
        (0..20).map(|_| log_in(account())).collect()
    };
    let name = "A user row is locked, 20 log-ins of that user, 8 others refresh";
    others_go_on(name, cluster, &server, lock, &tabs)
}

pub fn slow_rows(cluster: &mut Cluster) -> Result<Vec<Row>> {
    let server = Server::start(cluster.url(), &[])?;
    let accounts = server.accounts("slow-row", 12)?;
    cluster.execute(
        "CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS \
         $$ BEGIN PERFORM pg_sleep(0.4); RETURN NEW; END $$; \
         CREATE TRIGGER slow BEFORE INSERT OR UPDATE ON sessions FOR EACH ROW EXECUTE FUNCTION slow()",
    )?;
    let load = Load::start(&server.address, accounts.into_iter().map(refresh).collect());
    thread::sleep(Duration::from_secs(6));
    let samples = load.stop();
    cluster.execute("DROP FUNCTION slow CASCADE")?;
    let name = "Each session row takes 400 ms to write, 12 clients refresh";
    let failed = samples.iter().filter(|one| !one.is_success()).count();
    Ok(vec![
        Row::exact(name, "failed", "0", format!("{failed} of {}", samples.len()), failed == 0),
        Row::timed(
            name,
            "p50",
            "<= 800 ms",
            format!("{:.0} ms", percentile(&samples, 50)),
            percentile(&samples, 50) <= 800.0,
        ),
    ])
}

/// Sends always the same token, like a tab that never gets a response.
fn same_refresh(account: &Account) -> Ask {
    let body = format!(r#"{{"refresh_token":"{}"}}"#, account.refresh);
    Box::new(move |connection: &mut Connection| connection.post("/api/v1/auth/refresh", &body))
}

/// The lock is a statement that fails if it locks nothing.
///
/// Measures the others' throughput with and without the lock, in turns. The owner sends a request every 20 ms or more
/// in both.
fn others_go_on(
    name: &str,
    cluster: &Cluster,
    server: &Server,
    lock: &str,
    owner: &dyn Fn() -> Vec<Ask>,
) -> Result<Vec<Row>> {
    let prefix = format!("other{}-", server.child.id());
    let accounts = server.accounts(&prefix, OTHERS * ROUNDS * 2)?;
    let mut accounts = accounts.into_iter();
    let (mut ratios, mut refused, mut requests) = (Vec::new(), 0, 0);
    for _ in 0..ROUNDS {
        let mut succeeded = [0.0; 2];
        for (locked, succeeded) in [false, true].into_iter().zip(&mut succeeded) {
            let mut holder = cluster.connect()?;
            if locked {
                holder.batch_execute(&format!("BEGIN; {lock}"))?;
            }
            let tabs = Load::paced(&server.address, owner(), Duration::from_millis(100));
            thread::sleep(Duration::from_millis(200));
            let others = accounts.by_ref().take(OTHERS).map(refresh).collect();
            let load = Load::start(&server.address, others);
            thread::sleep(ROUND);
            let samples = load.stop();
            holder.batch_execute("ROLLBACK")?;
            let owner = tabs.stop();
            if locked {
                ensure!(owner.iter().any(|one| one.is(503)), "{name}: the lock was not met");
            }
            *succeeded = samples.iter().filter(|one| one.is_success()).count() as f64;
            if locked {
                refused += samples.iter().filter(|one| !one.is_success()).count();
                requests += samples.len();
            }
        }
        ratios.push(succeeded[1] / succeeded[0]);
    }
    ratios.sort_by(f64::total_cmp);
    let median = ratios[ROUNDS / 2];
    Ok(vec![
        Row::exact(name, "the others' failures", "0", format!("{refused} of {requests}"), refused == 0),
        Row::timed(
            name,
            "the others' throughput against none locked",
            ">= 0.8x",
            format!("{median:.2}x"),
            median >= 0.8,
        ),
    ])
}
