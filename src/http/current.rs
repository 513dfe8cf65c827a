//! Keeps the id of the request being served, so that every problem body can contain it.

use std::sync::Arc;

use actix_web::http::header::HeaderValue;

/// The request being served, as its response needs it.
pub(super) struct Current {
    pub request_id: HeaderValue,
    pub request_id_from: Option<&'static str>,
    pub public_url: Arc<str>,
}

impl Current {
    /// Serves a request to which [`current`] then refers.
    pub async fn scope<F: Future>(self, serving: F) -> F::Output {
        CURRENT.scope(self, serving).await
    }
}

tokio::task_local! {
    /// Read where a problem is rendered, since `ResponseError` has no access to the request.
    static CURRENT: Current;
}

/// The id of the request being served, and the base address of problem types.
pub(super) fn current() -> (String, Arc<str>) {
    let text = |id: &HeaderValue| id.to_str().unwrap_or_default().to_owned();
    CURRENT.try_with(|current| (text(&current.request_id), current.public_url.clone())).unwrap_or_default()
}

/// `client` if the client chose the id of the request being served; logged beside the id, so that it is not mistaken for
/// one that the server made.
pub(super) fn request_id_from() -> Option<&'static str> {
    CURRENT.try_with(|current| current.request_id_from).unwrap_or_default()
}
