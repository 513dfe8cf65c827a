//! Stores files in a directory or in a bucket that speaks the S3 protocol.
//!
//! Calls run on threads of their own, so that a slow disk or bucket holds up no other request. Their number and time are
//! bounded; a call that is not answered in time counts as failed, but keeps its place until it has really ended.

mod place;

use std::{sync::Arc, time::Duration};

use chrono::{DateTime, Utc};
use futures_util::{StreamExt, TryStreamExt};
use object_store::{
    Error, ObjectStore, ObjectStoreExt, PutPayload,
    path::{Path, PathPart},
    signer::Signer,
};
use reqwest::Method;
use tokio::{
    runtime::{self, Runtime},
    sync::Semaphore,
    time,
};

use self::place::Place;
use crate::config;

/// Calls that run at once.
const MAX_CALLS: usize = 32;
/// Threads for the file system; calls to S3 need none.
const FILE_THREADS: usize = 8;
/// How long a call waits for its turn.
const MAX_WAIT: Duration = Duration::from_secs(3);
/// How long a call may take, with its repetitions.
const MAX_CALL: Duration = Duration::from_secs(12);
/// How long a listing may take: it may be thousands of requests.
const MAX_LISTING: Duration = Duration::from_mins(1);

/// Why a call failed. Each can be repeated.
#[derive(Debug, thiserror::Error)]
pub enum StorageError {
    #[error("too many calls to the object storage")]
    Busy,
    #[error("the object storage did not answer in time")]
    Slow,
    #[error("the object storage failed: {0}")]
    Failed(String),
    #[error("an object has more than {0} bytes")]
    TooLarge(usize),
}

impl From<Error> for StorageError {
    fn from(error: Error) -> Self {
        Self::Failed(error.to_string())
    }
}

/// A file as a listing shows it.
#[derive(Debug)]
pub struct Stored {
    pub key: String,
    pub modified_at: DateTime<Utc>,
}

/// The object storage of this server.
pub struct Storage {
    place: Place,
    calls: Arc<Semaphore>,
    /// Always there until it is dropped.
    runtime: Option<Runtime>,
}

impl Storage {
    /// Prepares the storage without connecting to it: a server whose storage is away serves everything else.
    ///
    /// # Errors
    /// The settings do not name a bucket that can exist, or no thread can be started.
    pub fn open(settings: &config::Storage) -> anyhow::Result<Self> {
        let runtime = runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .max_blocking_threads(FILE_THREADS)
            .thread_name("storage")
            .enable_all()
            .build()?;
        Ok(Self {
            place: Place::open(settings)?,
            calls: Arc::new(Semaphore::new(MAX_CALLS)),
            runtime: Some(runtime),
        })
    }

    /// Stores a file, in whole or not at all.
    pub async fn put(&self, key: &str, content: Vec<u8>) -> Result<(), StorageError> {
        let path = self.place.path(key);
        self.call(MAX_CALL, async move |store| {
            store.put(&path, PutPayload::from(content)).await?;
            Ok(())
        })
        .await
    }

    /// Reads a file of at most `max` bytes; None if there is no such file.
    pub async fn get(&self, key: &str, max: usize) -> Result<Option<Vec<u8>>, StorageError> {
        let path = self.place.path(key);
        self.call(MAX_CALL, async move |store| {
            let found = match store.get(&path).await {
                Ok(found) => found,
                Err(error) if is_absent(&error) => return Ok(None),
                Err(error) => return Err(error.into()),
            };
            let mut content = Vec::new();
            let mut chunks = found.into_stream();
            while let Some(chunk) = chunks.try_next().await? {
                if content.len() + chunk.len() > max {
                    return Err(StorageError::TooLarge(max));
                }
                content.extend_from_slice(&chunk);
            }
            Ok(Some(content))
        })
        .await
    }

    /// Deletes a file. Succeeds if there is no such file.
    pub async fn delete(&self, key: &str) -> Result<(), StorageError> {
        let path = self.place.path(key);
        self.call(MAX_CALL, async move |store| match store.delete(&path).await {
            Ok(()) => Ok(()),
            Err(error) if is_absent(&error) => Ok(()),
            Err(error) => Err(error.into()),
        })
        .await
    }

    /// Lists at most `max` files below a directory, in no order.
    pub async fn list(&self, directory: &str, max: usize) -> Result<Vec<Stored>, StorageError> {
        let (path, root) = (self.place.path(directory), self.place.root().clone());
        self.call(MAX_LISTING, async move |store| {
            let mut stored = Vec::new();
            let mut all = store.list(Some(&path)).take(max);
            while let Some(object) = all.try_next().await? {
                if let Some(parts) = object.location.prefix_match(&root) {
                    let key = parts.collect::<Path>().to_string();
                    stored.push(Stored { key, modified_at: object.last_modified });
                }
            }
            Ok(stored)
        })
        .await
    }

    /// Returns an address by which anyone can read this file for a while, without asking this server; None for a
    /// directory.
    pub async fn presigned_read(
        &self,
        key: &str,
        lifetime: Duration,
    ) -> Result<Option<String>, StorageError> {
        let path = self.place.path(key);
        let Some(signer) = self.place.signer() else {
            return Ok(None);
        };
        self.call(MAX_CALL, async move |_| {
            let url = signer.signed_url(Method::GET, &path, lifetime).await?;
            Ok(Some(url.into()))
        })
        .await
    }

    async fn call<T, F>(
        &self,
        deadline: Duration,
        work: impl FnOnce(Arc<dyn ObjectStore>) -> F + Send + 'static,
    ) -> Result<T, StorageError>
    where
        F: Future<Output = Result<T, StorageError>> + Send,
        T: Send + 'static,
    {
        let permit = time::timeout(MAX_WAIT, self.calls.clone().acquire_owned()).await;
        let permit = permit.map_err(|_| StorageError::Busy)?.map_err(|_| StorageError::Busy)?;
        let place = self.place.clone();
        let runtime = self.runtime.as_ref().expect("there until it is dropped");
        let running = runtime.spawn(async move {
            let _permit = permit;
            work(place.store().await?).await
        });
        match time::timeout(deadline, running).await {
            Ok(Ok(result)) => result,
            Ok(Err(panic)) => Err(StorageError::Failed(panic.to_string())),
            Err(_) => Err(StorageError::Slow),
        }
    }
}

impl Drop for Storage {
    fn drop(&mut self) {
        // A call that hangs does not keep the server from ending.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// Whether a call failed because there is no such file. A bucket that does not exist is a 404 of S3 too.
fn is_absent(error: &Error) -> bool {
    matches!(error, Error::NotFound { source, .. } if !format!("{source:?}").contains("NoSuchBucket"))
}

/// Joins parts to a path, each of which is taken literally.
fn path_of(root: &Path, key: &str) -> Path {
    root.parts().chain(key.split('/').map(PathPart::from)).collect()
}
