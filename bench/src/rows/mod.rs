//! What is measured, one function each.

mod enumeration;
mod streams;

use std::{
    fs,
    process::Command,
    sync::atomic::{AtomicBool, AtomicU32, Ordering},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use mintage_bench::{
    http::{Connection, member},
    process::{Baseline, Home, Mintage, PASSWORD, postgres_program, sibling},
    sys,
};

use crate::{Row, wrk};

type Measure = fn() -> Result<Vec<Row>>;

pub const ALL: [(&str, Measure); 10] = [
    ("reads", reads),
    ("blocklist", blocklist),
    ("logins", logins),
    ("storm", storm),
    ("refresh", refresh),
    ("users", users),
    ("vader", vader),
    ("streams", streams::streams),
    ("start", start),
    ("enumeration", enumeration::enumeration),
];

const ROUNDS: usize = 5;
const COST: &str = "12";

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn cores() -> usize {
    thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

fn hash_threads() -> usize {
    cores().saturating_sub(1).max(1)
}

/// CPU microseconds a request of one process under wrk.
fn cpu_of_load(pid: u32, url: &str, headers: &[String]) -> Result<f64> {
    let before = sys::cpu_micros(pid);
    let load = wrk::run(url, 32, 3, headers)?;
    Ok((sys::cpu_micros(pid) - before) as f64 / load.requests)
}

fn bearer(token: &str) -> String {
    format!("Authorization: Bearer {token}")
}

fn save_body(server: &Mintage, home: &Home, token: &str) -> Result<String> {
    let body = Connection::open(&server.address)?.get("/api/v1/coins", token)?.body;
    let path = home.0.join("body.json");
    fs::write(&path, body)?;
    Ok(path.display().to_string())
}

fn reads() -> Result<Vec<Row>> {
    let home = Home::new()?;
    let server = Mintage::start(&home.0)?;
    let (token, _) = server.log_in("ada@example.com")?;
    let file = save_body(&server, &home, &token)?;
    let bare = Baseline::start("bare-actix", &[&file, &cores().to_string()])?;
    let bare_url = format!("http://{}/", bare.address);
    let url = format!("http://{}/api/v1/coins", server.address);
    let etag = etag_of(&server, &token)?;
    let auth = bearer(&token);
    let variants = [
        vec![auth.clone()],
        vec![auth.clone(), "Accept-Encoding: br".into()],
        vec![auth.clone(), "Accept-Encoding: zstd".into()],
        vec![auth.clone(), "Accept-Encoding: gzip".into()],
        vec![auth, format!("If-None-Match: {etag}")],
    ];
    let (mut floor, mut costs) = (Vec::new(), vec![Vec::new(); variants.len()]);
    for _ in 0..ROUNDS {
        floor.push(cpu_of_load(bare.child.id(), &bare_url, &[])?);
        for (headers, costs) in variants.iter().zip(&mut costs) {
            costs.push(cpu_of_load(server.pid(), &url, headers)?);
        }
    }
    let ratio_to = |base: &[f64], costs: &[f64]| {
        median(costs.iter().zip(base).map(|(cost, base)| cost / base).collect())
    };
    let to_bare = ratio_to(&floor, &costs[0]);
    let names = ["br", "zstd", "gzip", "304"];
    let to_plain: Vec<f64> = (1..5).map(|n| ratio_to(&costs[0], &costs[n])).collect();
    let dearest = to_plain.iter().copied().fold(0.0, f64::max);
    let listed = names.iter().zip(&to_plain).map(|(name, ratio)| format!("{name} {ratio:.2}x"));
    Ok(vec![
        Row {
            what: "`GET /coins` with a bearer token (EdDSA), CPU a request, against bare actix-web sending the same bytes",
            measured: format!("{:.1} µs against {:.1} µs", median(costs[0].clone()), median(floor.clone())),
            result: format!("{to_bare:.2}x"),
            target: "<= 1.35x",
            met: to_bare <= 1.35,
        },
        Row {
            what: "304 and prepared codings, CPU a request, against the plain 200",
            measured: listed.collect::<Vec<_>>().join(", "),
            result: format!("{dearest:.2}x at most"),
            target: "not dearer (<= 1.05x)",
            met: dearest <= 1.05,
        },
    ])
}

fn etag_of(server: &Mintage, token: &str) -> Result<String> {
    let output = Command::new("curl")
        .args(["-s", "-o", "/dev/null", "-D", "-", "-H", &bearer(token)])
        .arg(format!("http://{}/api/v1/coins", server.address))
        .output()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let line = text.lines().find_map(|line| line.strip_prefix("etag: ")).context("no ETag")?;
    Ok(line.trim().to_owned())
}

fn blocklist() -> Result<Vec<Row>> {
    const ENTRIES: u32 = 1_000_000;
    let (empty_home, full_home) = (Home::new()?, Home::new()?);
    let empty = Mintage::start(&empty_home.0)?;
    drop(Mintage::start(&full_home.0)?);
    // Filled while nobody listens, so that the next start has to load it.
    let full = Mintage::start(&full_home.0)?;
    full.sql(&format!(
        "INSERT INTO blocklist (session_id, expires_at) \
         SELECT gen_random_uuid(), now() + interval '1 day' FROM generate_series(1, {ENTRIES}); ANALYZE blocklist"
    ))?;
    drop(full);
    let full = Mintage::start(&full_home.0)?;
    let memory = (sys::resident_kb(full.pid()) as f64 - sys::resident_kb(empty.pid()) as f64) * 1024.0;
    let per_entry = memory / f64::from(ENTRIES);

    let (mut ratios, mut costs) = (Vec::new(), Vec::new());
    let servers = [&empty, &full];
    let tokens = [empty.log_in("ada@example.com")?.0, full.log_in("ada@example.com")?.0];
    for _ in 0..ROUNDS {
        let mut round = Vec::new();
        for (server, token) in servers.iter().zip(&tokens) {
            let url = format!("http://{}/api/v1/coins", server.address);
            round.push(cpu_of_load(server.pid(), &url, &[bearer(token)])?);
        }
        ratios.push(round[1] / round[0]);
        costs.push(round[1]);
    }
    let ratio = median(ratios);
    Ok(vec![
        Row {
            what: "the same with 1,000,000 live blocklist entries, against an empty blocklist",
            measured: format!("{:.1} µs", median(costs)),
            result: format!("{ratio:.2}x"),
            target: "<= 1.05x",
            met: ratio <= 1.05,
        },
        Row {
            what: "memory of a blocklist entry; loading a million at start",
            measured: format!("{:.0} MB", memory / 1e6),
            result: format!("{per_entry:.0} bytes; ready after {:.2} s", full.ready_after.as_secs_f64()),
            target: "<= 48 bytes; < 2 s",
            met: per_entry <= 48.0 && full.ready_after < Duration::from_secs(2),
        },
    ])
}

fn login_body(email: &str) -> String {
    format!(r#"{{"email":"{email}","password":"{PASSWORD}"}}"#)
}

/// Log-ins a second of `count` log-ins over a few connections.
fn login_rate(server: &Mintage, count: u32) -> Result<f64> {
    let left = AtomicU32::new(count);
    let began = Instant::now();
    thread::scope(|scope| {
        let workers: Vec<_> = (0..hash_threads() * 2 + 2)
            .map(|_| {
                scope.spawn(|| -> Result<()> {
                    let mut connection = Connection::open(&server.address)?;
                    while left
                        .try_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1))
                        .is_ok()
                    {
                        let answer = connection.post("/api/v1/auth/login", &login_body("ada@example.com"))?;
                        ensure!(answer.status == 200, "{}", answer.body);
                    }
                    Ok(())
                })
            })
            .collect();
        workers.into_iter().try_for_each(|worker| worker.join().expect("no panic"))
    })?;
    Ok(f64::from(count) / began.elapsed().as_secs_f64())
}

fn logins() -> Result<Vec<Row>> {
    let home = Home::new()?;
    let server = Mintage::start(&home.0)?;
    server.log_in("ada@example.com")?;
    let (mut ratios, mut rates) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let output =
            Command::new(sibling("bare-bcrypt")?).args([COST, &hash_threads().to_string(), "6"]).output()?;
        let floor: f64 = String::from_utf8_lossy(&output.stdout).trim().parse()?;
        let count = (floor * 6.0).round() as u32;
        let rate = login_rate(&server, count)?;
        ratios.push(rate / floor);
        rates.push(rate);
    }
    let ratio = median(ratios);
    Ok(vec![Row {
        what: "log-ins a second at bcrypt cost 12, against bare bcrypt on as many threads",
        measured: format!("{:.2} a second on {} thread(s)", median(rates), hash_threads()),
        result: format!("{ratio:.2}x"),
        target: ">= 0.97x",
        met: ratio >= 0.97,
    }])
}

/// What a crowd of clients that log in again and again got, by status.
#[derive(Default)]
struct Storm {
    good: AtomicU32,
    refused: AtomicU32,
    odd: AtomicU32,
    slowest_refusal_millis: AtomicU32,
}

/// Runs `during` while `clients` log in as fast as they are answered.
fn in_a_storm<T>(
    address: &str,
    path: &str,
    clients: usize,
    storm: &Storm,
    during: impl FnOnce() -> Result<T>,
) -> Result<T> {
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        for _ in 0..clients {
            let attempt = || -> Result<()> {
                let mut connection = Connection::open(address)?;
                while !stop.load(Ordering::Relaxed) {
                    let began = Instant::now();
                    let answer = connection.post(path, &login_body("storm@example.com"))?;
                    match answer.status {
                        200 => storm.good.fetch_add(1, Ordering::Relaxed),
                        503 if answer.retry_after.is_some() => {
                            let millis = began.elapsed().as_millis().try_into().unwrap_or(u32::MAX);
                            storm.slowest_refusal_millis.fetch_max(millis, Ordering::Relaxed);
                            // As a client would, though not for as long as it was told.
                            thread::sleep(Duration::from_secs(1));
                            storm.refused.fetch_add(1, Ordering::Relaxed)
                        }
                        _ => storm.odd.fetch_add(1, Ordering::Relaxed),
                    };
                }
                Ok(())
            };
            let spawned = thread::Builder::new().stack_size(256 * 1024).spawn_scoped(scope, move || {
                if attempt().is_err() {
                    storm.odd.fetch_add(1, Ordering::Relaxed);
                }
            });
            spawned.context("a thread")?;
        }
        thread::sleep(Duration::from_secs(1));
        let result = during();
        stop.store(true, Ordering::Relaxed);
        result
    })
}

fn storm() -> Result<Vec<Row>> {
    let home = Home::new()?;
    let server = Mintage::start(&home.0)?;
    let (token, _) = server.log_in("ada@example.com")?;
    // Another account, since a user keeps only the 100 newest sessions.
    server.log_in("storm@example.com")?;
    let file = save_body(&server, &home, &token)?;
    let shared = Baseline::start("shared-pool", &[&file, &cores().to_string(), COST])?;
    let url = format!("http://{}/api/v1/coins", server.address);
    let headers = [bearer(&token)];
    let read = || wrk::run(&url, 16, 4, &headers);
    let (mut kept, mut tails, mut p99s, mut shared_p99s) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let quiet = read()?;
        let stormy = in_a_storm(&server.address, "/api/v1/auth/login", 64, &Storm::default(), read)?;
        let shared_url = format!("http://{}/", shared.address);
        let baseline = in_a_storm(&shared.address, "/login", 64, &Storm::default(), || {
            wrk::run(&shared_url, 16, 4, &[])
        })?;
        kept.push(stormy.per_second / quiet.per_second);
        tails.push(stormy.p99_millis / baseline.p99_millis);
        p99s.push(stormy.p99_millis);
        shared_p99s.push(baseline.p99_millis);
    }
    let (kept, tail) = (median(kept), median(tails));
    let overload = overload(&server, &url, &headers)?;
    Ok(vec![
        Row {
            what: "`GET /coins` during a storm of 64 log-ins: throughput kept",
            measured: format!("{} hash thread(s) on {} cores", hash_threads(), cores()),
            result: format!("{kept:.2}x"),
            target: ">= 0.8x",
            met: kept >= 0.8,
        },
        Row {
            what: "… p99, against hashing in actix's shared blocking pool",
            measured: format!("{:.1} ms against {:.1} ms", median(p99s), median(shared_p99s)),
            result: format!("{tail:.2}x"),
            target: "<= 0.2x",
            met: tail <= 0.2,
        },
        overload,
    ])
}

fn overload(server: &Mintage, url: &str, headers: &[String]) -> Result<Row> {
    let before = sys::resident_kb(server.pid());
    let storm = Storm::default();
    let read = || wrk::run(url, 16, 4, headers);
    let load = in_a_storm(&server.address, "/api/v1/auth/login", 1000, &storm, read)?;
    let grown = sys::resident_kb(server.pid()).saturating_sub(before) / 1024;
    let count = |counter: &AtomicU32| counter.load(Ordering::Relaxed);
    // "At once": well below what a log-in takes.
    let at_once = count(&storm.slowest_refusal_millis) < 250;
    let met = count(&storm.odd) == 0 && count(&storm.refused) > 0 && grown < 64 && at_once;
    Ok(Row {
        what: "overload: 1,000 clients log in at once",
        measured: format!(
            "{} logged in, {} refused (the slowest refusal after {} ms), {} other; readers' p99 {:.1} ms",
            count(&storm.good),
            count(&storm.refused),
            count(&storm.slowest_refusal_millis),
            count(&storm.odd),
            load.p99_millis
        ),
        result: format!("503 with Retry-After; {grown} MB more memory"),
        target: "the excess refused at once, memory bounded, readers served",
        met,
    })
}

fn refresh() -> Result<Vec<Row>> {
    const CHAINS: usize = 10;
    const SECONDS: u64 = 5;
    let home = Home::new()?;
    // As if the refreshes were minutes apart: each sweep finds a few tokens past the grace, not the
    // thousands of the last ten seconds. pgbench's script does the same.
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

fn users() -> Result<Vec<Row>> {
    let home = Home::new()?;
    let server = Mintage::start(&home.0)?;
    let (_, refresh) = server.log_in("admin@example.com")?;
    seed_users(&server)?;
    let answer = Connection::open(&server.address)?
        .post("/api/v1/auth/refresh", &format!(r#"{{"refresh_token":"{refresh}"}}"#))?;
    let token = member(&answer.body, "access_token")?;
    let mut connection = Connection::open(&server.address)?;
    let far = server.sql("SELECT translate(encode(uuid_send(id), 'base64'), '+/=', '-_') FROM users ORDER BY id OFFSET 199999 LIMIT 1")?;
    let some = server.sql("SELECT email FROM users ORDER BY id OFFSET 500000 LIMIT 1")?;
    let mut time = |path: &str| -> Result<f64> {
        let mut times = Vec::new();
        for _ in 0..60 {
            let began = Instant::now();
            let answer = connection.get(path, &token)?;
            ensure!(answer.status == 200, "{}", answer.body);
            times.push(began.elapsed().as_secs_f64() * 1000.0);
        }
        Ok(median(times))
    };
    let (mut ratios, mut firsts, mut fars) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let first = time("/api/v1/users?limit=20")?;
        let page = time(&format!("/api/v1/users?limit=20&cursor={far}"))?;
        ratios.push(page / first);
        firsts.push(first);
        fars.push(page);
    }
    let exact = time(&format!("/api/v1/users?email={some}"))?;
    let prefixes = ["u", "u1", "u12", "u123", "u1234", "u12345", &some[..6], "name 0", "name 0a1b"];
    let mut slowest = (0.0, "");
    for prefix in prefixes {
        let taken = time(&format!("/api/v1/users?q={}", prefix.replace(' ', "%20")))?;
        if taken > slowest.0 {
            slowest = (taken, prefix);
        }
    }
    let ratio = median(ratios);
    Ok(vec![
        Row {
            what: "`GET /users` at 1,000,000 users: page 10,000 against page 1",
            measured: format!("{:.2} ms against {:.2} ms", median(fars), median(firsts)),
            result: format!("{ratio:.2}x"),
            target: "<= 1.3x",
            met: ratio <= 1.3,
        },
        Row {
            what: "… filter by exact address; by a prefix `q` (the slowest of nine), as the client sees it",
            measured: format!("q = `{}`", slowest.1),
            result: format!("{exact:.2} ms; {:.2} ms", slowest.0),
            target: "< 5 ms",
            met: exact < 5.0 && slowest.0 < 5.0,
        },
    ])
}

/// A million users with UUIDv7 ids; VACUUM needs a call of its own.
fn seed_users(server: &Mintage) -> Result<String> {
    server.sql("UPDATE users SET role = 'admin'")?;
    server.sql(
        "INSERT INTO users (id, email, email_canonical, username, username_canonical, name, password_hash, created_at, updated_at) \
         SELECT (lpad(to_hex(1800000000000 + n), 12, '0') || '7' || substr(md5(n::text), 1, 3) || '8' || substr(md5(n::text), 4, 15))::uuid, \
                e, e, u, u, 'Name ' || md5(n::text), 'x', now(), now() \
         FROM (SELECT n, md5(n::text) || '@example.com' AS e, 'u' || n AS u FROM generate_series(1, 1000000) AS n) AS s",
    )?;
    server.sql("VACUUM ANALYZE users")
}

fn vader() -> Result<Vec<Row>> {
    let (mut rates, mut ratios) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let output = Command::new(sibling("vader")?).arg("4").output()?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let (scored, floor) = text.trim().split_once(' ').context("two numbers")?;
        let (scored, floor): (f64, f64) = (scored.parse()?, floor.parse()?);
        rates.push(scored);
        ratios.push(floor / scored);
    }
    let rate = median(rates);
    Ok(vec![Row {
        what: "sentiment: texts scored by VADER a second on one core, against splitting and lower-casing them",
        measured: format!("{:.1}x the time", median(ratios)),
        result: format!("{rate:.0} texts a second"),
        target: ">= 100,000",
        met: rate >= 100_000.0,
    }])
}

fn start() -> Result<Vec<Row>> {
    let home = Home::new()?;
    drop(Mintage::start(&home.0)?);
    let (mut times, mut memory) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let server = Mintage::start(&home.0)?;
        times.push(server.ready_after.as_secs_f64() * 1000.0);
        thread::sleep(Duration::from_secs(1));
        memory.push(sys::resident_kb(server.pid()) as f64 / 1024.0);
    }
    let (time, memory) = (median(times), median(memory));
    Ok(vec![Row {
        what: "start to `/readyz` on an existing database, with the start of the embedded PostgreSQL; idle memory of the process",
        measured: "median of 5".into(),
        result: format!("{time:.0} ms; {memory:.0} MB"),
        target: "< 150 ms; < 40 MB",
        met: time < 150.0 && memory < 40.0,
    }])
}
