//! Measures refreshes per second, against pgbench with the same statements.

use std::{
    fs,
    process::Command,
    sync::atomic::{AtomicU32, Ordering},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use mintage_bench::{
    http::{Connection, member},
    process::{Home, Mintage, postgres_program},
    sys,
};

use super::{ROUNDS, median};
use crate::Row;

pub fn refresh() -> Result<Vec<Row>> {
    const CHAINS: usize = 10;
    const SECONDS: u64 = 5;
    let home = Home::new()?;
    // As if the refreshes were minutes apart: each deletion finds a few tokens past the grace period, not the thousands
    // of the last ten seconds. pgbench's script does the same.
    let server = Mintage::start_with(&home.0, &[("REFRESH_GRACE", "0s")])?;
    let mut tokens = Vec::new();
    for n in 0..CHAINS {
        tokens.push(server.log_in(&format!("u{n}@example.com"))?.1);
        server.log_in(&format!("pgbench{n}@example.com"))?;
    }
    server.sql(
        "CREATE TABLE bench_sessions AS SELECT row_number() OVER () AS n, s.id, user_id \
         FROM sessions s JOIN users u ON u.id = user_id WHERE email LIKE 'pgbench%'; \
         CREATE UNIQUE INDEX ON bench_sessions (n); ANALYZE",
    )?;
    let script = home.0.join("refresh.sql");
    fs::write(&script, include_str!("refresh.sql"))?;
    let (mut ratios, mut rates, mut cpu, mut bench_cpus) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let postgres = server.postgres_pid()?;
        let (ours, theirs) = (sys::cpu_micros(server.pid()), sys::cpu_micros_of_tree(postgres));
        let (done, address) = (&AtomicU32::new(0), &server.address);
        let stop_at = Instant::now() + Duration::from_secs(SECONDS);
        thread::scope(|scope| {
            let chains: Vec<_> = tokens
                .iter_mut()
                .map(|token| {
                    scope.spawn(move || -> Result<()> {
                        let mut connection = Connection::open(address)?;
                        while Instant::now() < stop_at {
                            let body = format!(r#"{{"refresh_token":"{token}"}}"#);
                            let answer = connection.post("/api/v1/auth/refresh", &body)?;
                            ensure!(answer.status == 200, "{}", answer.body);
                            *token = member(&answer.body, "refresh_token")?;
                            done.fetch_add(1, Ordering::Relaxed);
                        }
                        Ok(())
                    })
                })
                .collect();
            chains.into_iter().try_for_each(|chain| chain.join().expect("no panic"))
        })?;
        let count = f64::from(done.load(Ordering::Relaxed));
        let rate = count / SECONDS as f64;
        cpu.push((
            (sys::cpu_micros(server.pid()) - ours) as f64 / count,
            (sys::cpu_micros_of_tree(postgres) - theirs) as f64 / count,
        ));
        server.sql(
            "DELETE FROM refresh_tokens USING bench_sessions b WHERE session_id = b.id; \
             UPDATE sessions s SET generation = 0 FROM bench_sessions b WHERE s.id = b.id; \
             INSERT INTO refresh_tokens (session_id, generation, id, issued_at, expires_at) \
             SELECT id, 0, gen_random_uuid(), now(), now() FROM bench_sessions",
        )?;
        let theirs = sys::cpu_micros_of_tree(postgres);
        let output = Command::new(postgres_program("pgbench")?)
            .args([
                "-n",
                "-D",
                "g=0",
                "-M",
                "prepared",
                "-j",
                "1",
                "-U",
                "mintage",
                "-T",
                &SECONDS.to_string(),
            ])
            .args(["-c", &CHAINS.to_string(), "-h"])
            .arg(server.sockets())
            .arg("-f")
            .arg(&script)
            .arg("mintage")
            .output()?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let line = text.lines().find_map(|line| line.strip_prefix("tps = "));
        let line = line.with_context(|| String::from_utf8_lossy(&output.stderr).into_owned())?;
        let floor: f64 = line.split(' ').next().unwrap_or_default().parse()?;
        let bench_cpu = (sys::cpu_micros_of_tree(postgres) - theirs) as f64 / (floor * SECONDS as f64);
        ratios.push(rate / floor);
        rates.push((rate, floor));
        bench_cpus.push(bench_cpu);
    }
    let ratio = median(ratios);
    let middle = |values: &[(f64, f64)], second: bool| {
        median(values.iter().map(|(a, b)| if second { *b } else { *a }).collect())
    };
    Ok(vec![Row {
        what: "`POST /auth/refresh` a second, against pgbench running the same statements on the same cluster",
        measured: format!(
            "{:.0} against {:.0}; CPU {:.0} µs a request and PostgreSQL {:.0} µs (under pgbench {:.0} µs)",
            middle(&rates, false),
            middle(&rates, true),
            middle(&cpu, false),
            middle(&cpu, true),
            median(bench_cpus)
        ),
        result: format!("{ratio:.2}x"),
        target: ">= 0.6x",
        met: ratio >= 0.6,
    }])
}
