//! Requests that no client library sends.

use std::time::Duration;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time,
};

/// Sends bytes to a server as they are, and reads what it answers.
pub async fn speak(base: &str, bytes: &[u8]) -> String {
    let address = base.strip_prefix("http://").unwrap();
    let mut stream = TcpStream::connect(address).await.unwrap();
    let mut answer = Vec::new();
    // A server that refuses what it has not read to the end may reset the connection.
    let spoken = async {
        let _ = stream.write_all(bytes).await;
        let _ = stream.read_to_end(&mut answer).await;
    };
    time::timeout(Duration::from_mins(3), spoken).await.expect("the server ends it");
    String::from_utf8_lossy(&answer).into_owned()
}
