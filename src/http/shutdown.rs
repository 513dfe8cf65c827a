//! The stages of a shutdown, visible to every connection and request.

use std::pin::Pin;

use tokio::sync::watch;

/// The stages, in order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    #[default]
    Serving,
    /// Not ready, but every request is served. Each response closes its connection, so that clients move to other
    /// servers.
    Draining,
    /// The listener is closed. Streams and idle connections end; requests that have begun are finished.
    Closing,
}

#[derive(Default)]
pub struct Shutdown(watch::Sender<Stage>);

/// Completes when the server is closing.
pub type Closing = Pin<Box<dyn Future<Output = ()> + Send>>;

impl Shutdown {
    /// Enters a stage and wakes everything that waits for it.
    pub fn enter(&self, stage: Stage) {
        self.0.send_replace(stage);
    }

    pub fn is_draining(&self) -> bool {
        *self.0.borrow() >= Stage::Draining
    }

    pub fn closing(&self) -> Closing {
        let mut stage = self.0.subscribe();
        // An error means that the sender was dropped with the server.
        Box::pin(async move { drop(stage.wait_for(|stage| *stage == Stage::Closing).await) })
    }
}
