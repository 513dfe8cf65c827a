//! Measures the cost of idle readers of `GET /coins/stream`.

use std::{
    io::{Read, Write},
    net::TcpStream,
    thread,
    time::Duration,
};

use anyhow::{Result, ensure};
use mintage_bench::{
    process::{Home, Mintage},
    sys,
};

use crate::Row;

const CLIENTS: usize = 1000;
/// An account may have 20 streams.
const USERS: usize = CLIENTS / 20;
const IDLE: Duration = Duration::from_secs(20);

pub fn streams() -> Result<Vec<Row>> {
    let home = Home::new()?;
    let settings = [("COINS_PROVIDERS", "demo"), ("SOCIAL_PROVIDERS", "none"), ("BCRYPT_COST", "10")];
    let server = Mintage::start_with(&home.0, &settings)?;
    let tokens = (0..USERS)
        .map(|n| Ok(server.log_in(&format!("reader{n}@example.com"))?.0))
        .collect::<Result<Vec<String>>>()?;
    let before = sys::resident_kb(server.pid());
    let mut readers = Vec::with_capacity(CLIENTS);
    for n in 0..CLIENTS {
        readers.push(open(&server.address, &tokens[n % USERS])?);
    }
    thread::sleep(Duration::from_secs(3));
    let after = sys::resident_kb(server.pid());
    let cpu = sys::cpu_micros(server.pid());
    thread::sleep(IDLE);
    let cpu = (sys::cpu_micros(server.pid()) - cpu) as f64 / IDLE.as_micros() as f64 * 100.0;
    for reader in &mut readers {
        // Each has received a heartbeat.
        ensure!(reader.read(&mut [0; 64])? > 0, "a stream has ended");
    }
    let each = (after.saturating_sub(before)) as f64 / CLIENTS as f64;
    Ok(vec![Row {
        what: "Server-Sent Events: memory for each of 1,000 idle readers; CPU of the server for all of them",
        measured: format!(
            "{:.0} MB before, {:.0} MB with them",
            before as f64 / 1024.0,
            after as f64 / 1024.0
        ),
        result: format!("{each:.1} kB; {cpu:.1}% of a core"),
        target: "<= 40 kB; < 5%",
        met: each <= 40.0 && cpu < 5.0,
    }])
}

/// Opens a stream and waits for its first snapshot.
fn open(address: &str, token: &str) -> Result<TcpStream> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(Duration::from_secs(30)))?;
    let head =
        format!("GET /api/v1/coins/stream HTTP/1.1\r\nhost: bench\r\nauthorization: Bearer {token}\r\n\r\n");
    stream.write_all(head.as_bytes())?;
    let (mut text, mut part) = (Vec::new(), [0; 4096]);
    while !text.windows(4).any(|end| end == b"}]}\n") {
        let count = stream.read(&mut part)?;
        ensure!(count > 0, "refused: {}", String::from_utf8_lossy(&text));
        text.extend_from_slice(&part[..count]);
    }
    Ok(stream)
}
