//! A provider on this machine that says what a test has scripted.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex},
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
    time,
};

#[derive(Clone)]
pub enum Reply {
    /// Status, extra headers, body.
    Http(u16, &'static str, Vec<u8>),
    /// Takes the request and says nothing.
    Silence,
    /// Promises more than it sends.
    Truncated(Vec<u8>),
}

/// The recorded body of that name, with a status.
pub fn fixture(status: u16, name: &str) -> Reply {
    let path = format!("{}/tests/fixtures/{name}.json", env!("CARGO_MANIFEST_DIR"));
    Reply::Http(status, "", std::fs::read(path).expect("fixture"))
}

#[derive(Default)]
struct Script {
    replies: VecDeque<Reply>,
    requests: Vec<String>,
}

pub struct Upstream {
    pub url: String,
    script: Arc<Mutex<Script>>,
    task: JoinHandle<()>,
}

impl Upstream {
    /// Gives the replies in order, the last one for ever.
    pub async fn start(replies: Vec<Reply>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("listener");
        let url = format!("http://{}", listener.local_addr().expect("address"));
        let script = Arc::new(Mutex::new(Script { replies: replies.into(), requests: Vec::new() }));
        let served = script.clone();
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(answer(stream, served.clone()));
            }
        });
        Self { url, script, task }
    }

    /// From now on.
    pub fn say(&self, replies: Vec<Reply>) {
        self.script.lock().expect("lock").replies = replies.into();
    }

    /// The heads of all requests so far.
    pub fn requests(&self) -> Vec<String> {
        self.script.lock().expect("lock").requests.clone()
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn answer(mut stream: TcpStream, script: Arc<Mutex<Script>>) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(_) => return,
        }
    }
    let reply = {
        let mut script = script.lock().expect("lock");
        script.requests.push(String::from_utf8_lossy(&head).into_owned());
        match script.replies.len() {
            0 => return,
            1 => script.replies[0].clone(),
            _ => script.replies.pop_front().expect("two or more"),
        }
    };
    let (status, headers, promised, body) = match reply {
        Reply::Silence => return time::sleep(Duration::from_hours(1)).await,
        Reply::Truncated(body) => (200, "", body.len() + 100, body),
        Reply::Http(status, headers, body) => (status, headers, body.len(), body),
    };
    let head = format!(
        "HTTP/1.1 {status} Scripted\r\ncontent-type: application/json\r\nconnection: close\r\n\
         content-length: {promised}\r\n{headers}\r\n"
    );
    let _ = stream.write_all(head.as_bytes()).await;
    let _ = stream.write_all(&body).await;
}
