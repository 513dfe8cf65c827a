//! How far the server has stopped: what every connection and every request may have to know.

use std::pin::Pin;

use tokio::sync::watch;

/// One after the other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    #[default]
    Serving,
    /// Not ready any more, but everything is served. Each answer closes its connection, so that clients go elsewhere.
    Draining,
    /// The listener is closed. Streams and connections without a request end; requests that have begun are finished.
    Closing,
}

#[derive(Default)]
pub struct Shutdown(watch::Sender<Stage>);

/// Completes when the server is closing.
pub type Closing = Pin<Box<dyn Future<Output = ()> + Send>>;

impl Shutdown {
    /// Wakes all that wait for this stage.
    pub fn enter(&self, stage: Stage) {
        self.0.send_replace(stage);
    }

    #[must_use]
    pub fn is_draining(&self) -> bool {
        *self.0.borrow() >= Stage::Draining
    }

    #[must_use]
    pub fn closing(&self) -> Closing {
        let mut stage = self.0.subscribe();
        // Without a sender the server is gone.
        Box::pin(async move { drop(stage.wait_for(|stage| *stage == Stage::Closing).await) })
    }
}
