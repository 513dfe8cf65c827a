//! Reads request bodies with limits on size and time.

use std::time::Duration;

use actix_web::{
    HttpRequest,
    dev::Payload,
    http::header,
    web::{Bytes, BytesMut},
};
use futures_util::StreamExt;
use tokio::time;

use super::{
    kind::{self, Kind},
    problem::Problem,
};

/// How much of a body is read, and for how long.
#[derive(Clone, Copy)]
pub struct BodyLimits {
    /// In bytes.
    pub size: usize,
    pub time: Duration,
    /// The problem of a body that ends early.
    pub cut_off: &'static Kind,
}

impl BodyLimits {
    pub fn too_large(&self) -> Problem {
        Problem::new(&kind::PAYLOAD_TOO_LARGE).detail(format!("at most {} KiB", self.size / 1024))
    }

    /// Refuses a body whose `Content-Length` is too large, before it is read.
    pub(super) fn check_length(&self, req: &HttpRequest) -> Result<(), Problem> {
        let length = req.headers().get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok());
        match length.and_then(|text| text.parse::<u64>().ok()) {
            Some(length) if length > self.size as u64 => Err(self.too_large()),
            _ => Ok(()),
        }
    }

    /// Reads a body.
    ///
    /// # Errors
    /// `payload-too-large`, `request-timeout` or `cut_off`.
    pub async fn read(&self, req: &HttpRequest, payload: Payload) -> Result<Bytes, Problem> {
        self.check_length(req)?;
        self.read_unchecked(payload).await
    }

    /// As [`BodyLimits::read`], for a request whose headers have been checked.
    pub(super) async fn read_unchecked(&self, mut payload: Payload) -> Result<Bytes, Problem> {
        let whole = async {
            let mut bytes = BytesMut::new();
            while let Some(chunk) = payload.next().await {
                let cut_off = |_| Problem::new(self.cut_off).detail("the body ended early");
                let chunk = chunk.map_err(cut_off)?;
                if bytes.len() + chunk.len() > self.size {
                    return Err(self.too_large());
                }
                bytes.extend_from_slice(&chunk);
            }
            Ok(bytes.freeze())
        };
        time::timeout(self.time, whole).await.map_err(|_| Problem::new(&kind::REQUEST_TIMEOUT))?
    }
}
