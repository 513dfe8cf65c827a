//! Runs conversions on threads of their own, so that many uploads do not occupy the threads that answer other requests.

use std::{collections::HashMap, sync::Arc, thread, time::Duration};

use aws_lc_rs::digest::{Context, SHA256};
use parking_lot::Mutex;
use tokio::{
    sync::{Semaphore, oneshot},
    time,
};
use uuid::Uuid;

use super::convert::{Square, Unusable, convert};
use crate::http::{Network, Problem, kind};

/// Uploads that are read, converted and stored at once. Each needs up to 2 MiB, and a slow client keeps its place.
const MAX_UPLOADS: usize = 32;
/// Those of one network, so that one slow client does not take all places.
const MAX_UPLOADS_PER_NETWORK: usize = 8;
/// Conversions at once. Each needs up to 80 MiB and at most a second of a processor.
const THREADS: usize = 2;
/// How long an upload waits for a conversion to begin.
const MAX_WAIT: Duration = Duration::from_secs(5);
/// How long an upload waits for its conversion. The thread goes on and keeps its place.
const MAX_RUN: Duration = Duration::from_secs(10);
const RETRY_SECONDS: u64 = 2;

/// Converts uploads. Cheap to clone.
#[derive(Clone)]
pub struct Converter {
    /// The uploads of each network that has any.
    uploads: Arc<Mutex<HashMap<Network, usize>>>,
    threads: Arc<Semaphore>,
}

/// The right to upload a picture, taken before its body is read. Dropping it makes room for another.
pub(super) struct UploadPermit {
    converter: Converter,
    network: Network,
}

/// A converted picture.
pub(super) struct Picture {
    /// SHA-256 of a random number and the largest square, in hexadecimal.
    pub hash: String,
    pub squares: Vec<Square>,
}

impl Default for Converter {
    fn default() -> Self {
        Self { uploads: Arc::default(), threads: Arc::new(Semaphore::new(THREADS)) }
    }
}

impl Converter {
    /// Takes a permit for an upload.
    ///
    /// # Errors
    /// `too-many-requests` for a network with many uploads, `overloaded` if all places are taken.
    pub(super) fn reserve(&self, network: Network) -> Result<UploadPermit, Problem> {
        let mut uploads = self.uploads.lock();
        let own = uploads.get(&network).copied().unwrap_or_default();
        if own >= MAX_UPLOADS_PER_NETWORK {
            let detail = format!("a network may have at most {MAX_UPLOADS_PER_NETWORK} uploads at once");
            return Err(Problem::new(&kind::TOO_MANY_REQUESTS).detail(detail).retry_after(RETRY_SECONDS));
        }
        if uploads.values().sum::<usize>() >= MAX_UPLOADS {
            return Err(overloaded());
        }
        uploads.insert(network, own + 1);
        drop(uploads);
        Ok(UploadPermit { converter: self.clone(), network })
    }
}

impl Drop for UploadPermit {
    fn drop(&mut self) {
        let mut uploads = self.converter.uploads.lock();
        if let Some(own) = uploads.get_mut(&self.network) {
            *own -= 1;
            if *own == 0 {
                uploads.remove(&self.network);
            }
        }
    }
}

impl UploadPermit {
    /// Converts a file.
    ///
    /// # Errors
    /// `unsupported-media-type` or `invalid-image`; `overloaded` if it does not begin or end in time.
    pub async fn convert(&self, file: Vec<u8>) -> Result<Picture, Problem> {
        let waiting = time::timeout(MAX_WAIT, self.converter.threads.clone().acquire_owned());
        let permit = waiting.await.map_err(|_| overloaded())?.map_err(Problem::internal)?;
        let (answer, answered) = oneshot::channel();
        let work = move || {
            let converted = convert(&file);
            drop(permit);
            let _ = answer.send(converted);
        };
        thread::Builder::new().name("picture".into()).spawn(work).map_err(Problem::unavailable)?;
        let converted = time::timeout(MAX_RUN, answered).await.map_err(|_| overloaded())?;
        // A decoder that panics has met a file that it does not understand.
        let squares = converted.unwrap_or(Err(Unusable::Broken)).map_err(|unusable| {
            let kind = match unusable {
                Unusable::Format => &kind::UNSUPPORTED_MEDIA_TYPE,
                Unusable::TooManyPixels | Unusable::Broken => &kind::INVALID_IMAGE,
            };
            Problem::new(kind).detail(unusable.to_string())
        })?;
        Ok(Picture { hash: hash(&squares), squares })
    }
}

fn hash(squares: &[Square]) -> String {
    use std::fmt::Write;
    let mut context = Context::new(&SHA256);
    context.update(Uuid::new_v4().as_bytes());
    if let Some(largest) = squares.first() {
        context.update(&largest.content);
    }
    context.finish().as_ref().iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn overloaded() -> Problem {
    Problem::new(&kind::OVERLOADED).retry_after(RETRY_SECONDS)
}
