//! A blocking HTTP/1.1 client for what wrk cannot do: requests that depend on earlier responses, and checks of
//! responses.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    time::Duration,
};

use anyhow::{Context, Result};

/// A kept-alive connection. After a response that closes it, the next request opens another one.
pub struct Connection {
    address: String,
    stream: BufReader<TcpStream>,
    closed: bool,
}

pub struct Answer {
    pub status: u16,
    /// Seconds.
    pub retry_after: Option<u64>,
    /// Whether the server closes the connection after the response.
    pub closes: bool,
    pub body: String,
}

impl Connection {
    pub fn open(address: &str) -> Result<Self> {
        let stream = TcpStream::connect(address).context("connect")?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(Duration::from_secs(120)))?;
        Ok(Self { address: address.to_owned(), stream: BufReader::new(stream), closed: false })
    }

    pub fn get(&mut self, path: &str, token: &str) -> Result<Answer> {
        self.send(&format!("GET {path} HTTP/1.1\r\nhost: bench\r\nauthorization: Bearer {token}\r\n\r\n"))
    }

    pub fn post(&mut self, path: &str, json: &str) -> Result<Answer> {
        self.post_as("", path, json)
    }

    /// With a bearer token, unless it is empty.
    pub fn post_as(&mut self, token: &str, path: &str, json: &str) -> Result<Answer> {
        let authorization =
            if token.is_empty() { String::new() } else { format!("authorization: Bearer {token}\r\n") };
        self.send(&format!(
            "POST {path} HTTP/1.1\r\nhost: bench\r\n{authorization}content-type: application/json\r\n\
             content-length: {}\r\n\r\n{json}",
            json.len()
        ))
    }

    fn send(&mut self, request: &str) -> Result<Answer> {
        if self.closed {
            *self = Self::open(&self.address)?;
        }
        self.stream.get_mut().write_all(request.as_bytes())?;
        let mut line = String::new();
        self.stream.read_line(&mut line)?;
        let status = line.split(' ').nth(1).context("no status")?.parse()?;
        let (mut length, mut retry_after, mut closes) = (0, None, false);
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
            if let Some(text) = header.strip_prefix("retry-after:") {
                retry_after = Some(text.trim().parse()?);
            }
            closes |= header == "connection: close";
        }
        let mut body = vec![0; length];
        self.stream.read_exact(&mut body)?;
        self.closed = closes;
        Ok(Answer { status, retry_after, closes, body: String::from_utf8_lossy(&body).into_owned() })
    }
}

/// Returns the text of a member of a flat JSON object.
pub fn member(json: &str, name: &str) -> Result<String> {
    let start = json.split_once(&format!("\"{name}\":\"")).with_context(|| format!("no {name} in {json}"))?.1;
    Ok(start.split('"').next().unwrap_or_default().to_owned())
}
