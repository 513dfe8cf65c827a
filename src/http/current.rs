//! Keeps the id of the request being served, so that every problem body can name it.

use std::sync::Arc;

use actix_web::http::header::HeaderValue;

/// What every answer to the request being served needs.
pub(super) struct Current {
    pub request_id: HeaderValue,
    pub request_id_from: Option<&'static str>,
    pub public_url: Arc<str>,
}

impl Current {
    /// Serves a request that [`current`] then tells of.
    pub async fn scope<F: Future>(self, serving: F) -> F::Output {
        CURRENT.scope(self, serving).await
    }
}

tokio::task_local! {
    /// Problem bodies are made where the request cannot be passed to.
    static CURRENT: Current;
}

/// The id of the request being served and the address that problem types live under.
pub(super) fn current() -> (String, Arc<str>) {
    let text = |id: &HeaderValue| id.to_str().unwrap_or_default().to_owned();
    CURRENT.try_with(|current| (text(&current.request_id), current.public_url.clone())).unwrap_or_default()
}

/// For logs, beside the id: `client` when the client chose the id of the request being served, so that nobody takes
/// it for one of ours, else None.
pub(super) fn request_id_from() -> Option<&'static str> {
    CURRENT.try_with(|current| current.request_id_from).unwrap_or_default()
}
