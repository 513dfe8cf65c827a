//! A client of the stream of coins.

use std::{pin::Pin, time::Duration};

use futures_util::{Stream, StreamExt};
use serde_json::Value;
use tokio::time;

use super::{App, client::Client};

/// An open stream, read as the HTML standard says (section "Server-sent events").
pub struct Events {
    bytes: Pin<Box<dyn Stream<Item = reqwest::Result<actix_web::web::Bytes>> + Send>>,
    buffer: String,
}

impl Events {
    pub async fn open(app: &App, client: &Client, query: &str, last: Option<&str>) -> Self {
        let answer = open(app, client, query, last).await;
        assert_eq!(answer.status(), 200);
        assert_eq!(answer.headers()["content-type"], "text/event-stream");
        assert_eq!(answer.headers()["cache-control"], "no-store");
        Self { bytes: Box::pin(answer.bytes_stream()), buffer: String::new() }
    }

    /// The next block of lines; None at the end.
    pub async fn block(&mut self) -> Option<String> {
        loop {
            if let Some((block, rest)) = self.buffer.split_once("\n\n") {
                let (block, rest) = (block.to_owned(), rest.to_owned());
                self.buffer = rest;
                return Some(block);
            }
            let more =
                time::timeout(Duration::from_mins(3), self.bytes.next()).await.expect("a heart-beat")?;
            self.buffer += std::str::from_utf8(&more.expect("the body ends well")).unwrap();
        }
    }

    /// Id and data of the next event, which is a snapshot.
    pub async fn event(&mut self) -> Option<(String, Value)> {
        let (name, id, data) = self.named_event().await?;
        assert_eq!(name, "snapshot");
        Some((id, data))
    }

    /// Name, id and data of the next event.
    pub async fn named_event(&mut self) -> Option<(String, String, Value)> {
        loop {
            let block = self.block().await?;
            let field =
                |name: &str| block.lines().find_map(|line| line.strip_prefix(name)).map(str::to_owned);
            if let Some(data) = field("data: ") {
                let data = serde_json::from_str(&data).unwrap();
                return Some((field("event: ").unwrap(), field("id: ").unwrap(), data));
            }
        }
    }
}

pub async fn open(app: &App, client: &Client, query: &str, last: Option<&str>) -> reqwest::Response {
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let mut request =
        http.get(format!("{}/api/v1/coins/stream{query}", app.base)).bearer_auth(client.token());
    if let Some(last) = last {
        request = request.header("last-event-id", last);
    }
    request.send().await.unwrap()
}
