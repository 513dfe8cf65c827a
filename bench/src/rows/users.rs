//! Measures pages and searches among a million users.

use std::time::Instant;

use anyhow::{Result, ensure};
use mintage_bench::{
    http::{Connection, member},
    process::{Home, Mintage},
};

use super::{ROUNDS, median};
use crate::Row;

pub fn users() -> Result<Vec<Row>> {
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
    let prefixes = ["u", "u1", "u12", "u123", "u1234", "u12345", some.split_at(6).0, "name 0", "name 0a1b"];
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

/// Inserts a million users with UUIDv7 ids. VACUUM needs a call of its own.
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
