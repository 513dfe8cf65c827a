//! Opens a websocket (RFC 6455) over a connection of reqwest, so that it has the same TLS as every other call.

use reqwest::{RequestBuilder, StatusCode, Upgraded, header};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{
        handshake::{client::generate_key, derive_accept_key},
        protocol::{Role, WebSocketConfig},
    },
};

use crate::upstream::{Advice, Failure};

/// Sends the opening handshake (section 4.1). A larger message than `max_message_size` bytes breaks the connection.
pub async fn connect(
    request: RequestBuilder,
    max_message_size: usize,
) -> Result<WebSocketStream<Upgraded>, Failure> {
    let failed = |message: &str| Failure::new(Advice::BackOff, message);
    let key = generate_key();
    let request = request
        .header(header::CONNECTION, "Upgrade")
        .header(header::UPGRADE, "websocket")
        .header(header::SEC_WEBSOCKET_VERSION, "13")
        .header(header::SEC_WEBSOCKET_KEY, &key);
    let response = request.send().await.map_err(|_| failed("cannot be reached"))?;
    let accepted = response.headers().get(header::SEC_WEBSOCKET_ACCEPT).and_then(|value| value.to_str().ok());
    if response.status() != StatusCode::SWITCHING_PROTOCOLS {
        return Err(failed(&format!("HTTP {}", response.status().as_u16())));
    }
    if accepted != Some(derive_accept_key(key.as_bytes()).as_str()) {
        return Err(failed("the server does not speak websocket"));
    }
    let connection = response.upgrade().await.map_err(|_| failed("the connection broke"))?;
    let config = WebSocketConfig::default()
        .max_message_size(Some(max_message_size))
        .max_frame_size(Some(max_message_size));
    Ok(WebSocketStream::from_raw_socket(connection, Role::Client, Some(config)).await)
}
