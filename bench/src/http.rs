//! A blocking HTTP/1.1 client for what wrk cannot do: chains of requests, and answers looked at.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    time::Duration,
};

use anyhow::{Context, Result};

/// A kept-alive connection.
pub struct Connection {
    address: String,
    stream: BufReader<TcpStream>,
}

pub struct Answer {
    pub status: u16,
    pub retry_after: bool,
    pub body: String,
}

impl Connection {
    pub fn open(address: &str) -> Result<Self> {
        let stream = TcpStream::connect(address).context("connect")?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(Duration::from_secs(120)))?;
        Ok(Self { address: address.to_owned(), stream: BufReader::new(stream) })
    }

    pub fn get(&mut self, path: &str, token: &str) -> Result<Answer> {
        self.send(&format!("GET {path} HTTP/1.1\r\nhost: bench\r\nauthorization: Bearer {token}\r\n\r\n"))
    }

    pub fn post(&mut self, path: &str, json: &str) -> Result<Answer> {
        self.send(&format!(
            "POST {path} HTTP/1.1\r\nhost: bench\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{json}",
            json.len()
        ))
    }

    fn send(&mut self, request: &str) -> Result<Answer> {
        self.stream.get_mut().write_all(request.as_bytes())?;
        let mut line = String::new();
        self.stream.read_line(&mut line)?;
        let status = line.split(' ').nth(1).context("no status")?.parse()?;
        let (mut length, mut retry_after, mut close) = (0, false, false);
        loop {
            line.clear();
            self.stream.read_line(&mut line)?;
            let header = line.trim().to_ascii_lowercase();
            if header.is_empty() {
                break;
            }
            if let Some(text) = header.strip_prefix("content-length:") {
                length = text.trim().parse()?;
            }
            retry_after |= header.starts_with("retry-after:");
            close |= header == "connection: close";
        }
        let mut body = vec![0; length];
        self.stream.read_exact(&mut body)?;
        if close {
            *self = Self::open(&self.address)?;
        }
        Ok(Answer { status, retry_after, body: String::from_utf8_lossy(&body).into_owned() })
    }
}

/// The text of a member in a flat JSON object.
pub fn member(json: &str, name: &str) -> Result<String> {
    let start = json.split_once(&format!("\"{name}\":\"")).with_context(|| format!("no {name} in {json}"))?.1;
    Ok(start.split('"').next().unwrap_or_default().to_owned())
}
