//! A service on this machine whose answers a test scripts.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex},
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    task::JoinHandle,
    time,
};

#[derive(Clone)]
pub enum Reply {
    /// Status, extra headers, body.
    Http(u16, &'static str, Vec<u8>),
    /// Reads the request and never answers.
    Silence,
    /// Status 200 and the body, as soon as there is a permit.
    Held(Arc<Semaphore>, Vec<u8>),
    /// Promises more than it sends.
    Truncated(Vec<u8>),
    /// Status 200 with exactly these headers.
    Raw(&'static str, Vec<u8>),
    /// A byte now and then.
    Drip(Vec<u8>),
}

/// The recorded body of that name, with a status.
pub fn fixture(status: u16, name: &str) -> Reply {
    let path = format!("{}/tests/fixtures/{name}.json", env!("CARGO_MANIFEST_DIR"));
    Reply::Http(status, "", std::fs::read(path).expect("fixture"))
}

#[derive(Default)]
struct Script {
    replies: VecDeque<Reply>,
    /// Answers at paths that begin so.
    elsewhere: Vec<(&'static str, Reply)>,
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
        let script = Arc::new(Mutex::new(Script { replies: replies.into(), ..Script::default() }));
        let served = script.clone();
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(answer(stream, served.clone()));
            }
        });
        Self { url, script, task }
    }

    /// Sends these replies from now on, the last one repeatedly.
    pub fn say(&self, replies: Vec<Reply>) {
        self.script.lock().expect("lock").replies = replies.into();
    }

    /// Sends this reply from now on to requests for paths that begin so.
    pub fn say_at(&self, path: &'static str, reply: Reply) {
        self.script.lock().expect("lock").elsewhere.insert(0, (path, reply));
    }

    /// Counts the requests for paths that begin so.
    pub fn count_requests(&self, path: &str) -> usize {
        let begin = format!("GET {path}");
        self.requests().iter().filter(|request| request.starts_with(&begin)).count()
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
        let request = String::from_utf8_lossy(&head).into_owned();
        let path = request.split(' ').nth(1).unwrap_or_default().to_owned();
        script.requests.push(request);
        let elsewhere = script.elsewhere.iter().find(|(begin, _)| path.starts_with(begin));
        match (elsewhere, script.replies.len()) {
            (Some((_, reply)), _) => reply.clone(),
            (None, 0) => return,
            (None, 1) => script.replies[0].clone(),
            (None, _) => script.replies.pop_front().expect("two or more"),
        }
    };
    let json = "content-type: application/json\r\n";
    let (status, kind, headers, promised, body) = match &reply {
        Reply::Held(permits, body) => {
            permits.acquire().await.expect("open").forget();
            (200, json, "", body.len(), body)
        }
        Reply::Silence => return time::sleep(Duration::from_hours(1)).await,
        Reply::Truncated(body) => (200, json, "", body.len() + 100, body),
        Reply::Http(status, headers, body) => (*status, json, *headers, body.len(), body),
        Reply::Raw(headers, body) => (200, "", *headers, body.len(), body),
        Reply::Drip(body) => (200, json, "", body.len(), body),
    };
    let head = format!(
        "HTTP/1.1 {status} Scripted\r\n{kind}connection: close\r\ncontent-length: {promised}\r\n{headers}\r\n"
    );
    let _ = stream.write_all(head.as_bytes()).await;
    if matches!(reply, Reply::Drip(_)) {
        for byte in body {
            let _ = stream.write_all(&[*byte]).await;
            time::sleep(Duration::from_millis(100)).await;
        }
    }
    let _ = stream.write_all(body).await;
}
