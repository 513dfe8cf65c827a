//! Runs conversions on threads of their own, so that many uploads do not occupy the threads that answer other requests.

use std::{sync::Arc, thread, time::Duration};

use aws_lc_rs::digest::{Context, SHA256};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, oneshot},
    time,
};
use uuid::Uuid;

use super::convert::{Square, Unusable, convert};
use crate::http::{Problem, kind};

/// Uploads that are read, converted and stored at once. Each needs up to 2 MiB, and a slow client keeps its place.
const MAX_UPLOADS: usize = 32;
/// Conversions at once. Each needs up to 80 MiB and at most a second of a processor.
const THREADS: usize = 2;
/// How long an upload waits for a conversion to begin.
const MAX_WAIT: Duration = Duration::from_secs(5);
/// How long an upload waits for its conversion. The thread goes on and keeps its place.
const MAX_RUN: Duration = Duration::from_secs(10);

/// Converts uploads. Cheap to clone.
#[derive(Clone)]
pub struct Converter {
    uploads: Arc<Semaphore>,
    threads: Arc<Semaphore>,
}

/// The right to upload a picture, taken before its body is read.
pub(super) struct UploadPermit {
    threads: Arc<Semaphore>,
    _upload: OwnedSemaphorePermit,
}

/// A converted picture.
pub(super) struct Picture {
    /// SHA-256 of a random number and the largest square, in hexadecimal.
    pub hash: String,
    pub squares: Vec<Square>,
}

impl Default for Converter {
    fn default() -> Self {
        Self { uploads: Arc::new(Semaphore::new(MAX_UPLOADS)), threads: Arc::new(Semaphore::new(THREADS)) }
    }
}

impl Converter {
    /// Takes a permit for an upload.
    ///
    /// # Errors
    /// `overloaded`.
    pub(super) fn reserve(&self) -> Result<UploadPermit, Problem> {
        let upload = self.uploads.clone().try_acquire_owned().map_err(|_| overloaded())?;
        Ok(UploadPermit { threads: self.threads.clone(), _upload: upload })
    }
}

impl UploadPermit {
    /// Converts a file.
    ///
    /// # Errors
    /// `unsupported-media-type` or `invalid-image`; `overloaded` if it does not begin or end in time.
    pub async fn convert(&self, file: Vec<u8>) -> Result<Picture, Problem> {
        let waiting = time::timeout(MAX_WAIT, self.threads.clone().acquire_owned());
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
    Problem::new(&kind::OVERLOADED).retry_after(2)
}
