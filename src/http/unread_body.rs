//! Ends a connection whose request body was not read to its end.
//!
//! The HTTP server (actix-http 3.20) drains a chunked body that a handler has dropped, without a limit on time or size,
//! before it continues with the connection: a body that never ends would keep its connection forever. A body that
//! still exists when the response ends is not drained: the server closes the connection after at most one second
//! (`client_disconnect_timeout`). So the response keeps the body of its request.

use std::{
    cell::RefCell,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll},
};

use actix_web::{
    HttpMessage,
    body::{BodySize, BoxBody, MessageBody},
    dev::{Payload, ServiceRequest},
    http::header,
    web::Bytes,
};
use futures_util::stream;

/// The body of a request, read by its handler and kept by its response.
#[derive(Clone)]
pub(super) struct RequestBody(Rc<RefCell<Payload>>);

impl RequestBody {
    /// Takes the body of a request with `Transfer-Encoding` and leaves a stream of the same bytes. None for other
    /// requests: a body with `Content-Length` is never drained.
    pub fn take(req: &mut ServiceRequest) -> Option<Self> {
        if !req.headers().contains_key(header::TRANSFER_ENCODING) {
            return None;
        }
        let body = Self(Rc::new(RefCell::new(req.take_payload())));
        let of_handler = body.clone();
        let bytes = stream::poll_fn(move |cx| {
            let mut payload = of_handler.0.borrow_mut();
            stream::Stream::poll_next(Pin::new(&mut *payload), cx)
        });
        req.set_payload(Payload::Stream { payload: Box::pin(bytes) });
        Some(body)
    }

    /// Wraps the response body so that it keeps this one.
    pub fn held_by(self, response: BoxBody) -> BoxBody {
        BoxBody::new(Holding { response, _request: self })
    }
}

struct Holding {
    response: BoxBody,
    _request: RequestBody,
}

impl MessageBody for Holding {
    type Error = <BoxBody as MessageBody>::Error;

    fn size(&self) -> BodySize {
        self.response.size()
    }

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Self::Error>>> {
        Pin::new(&mut self.get_mut().response).poll_next(cx)
    }
}
