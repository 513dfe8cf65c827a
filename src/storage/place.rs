//! Opens the directory or the bucket.

use std::{
    fs::DirBuilder,
    os::unix::fs::DirBuilderExt,
    path::PathBuf,
    sync::{Arc, OnceLock},
    time::Duration,
};

use object_store::{
    BackoffConfig, ClientOptions, ObjectStore, RetryConfig,
    aws::{AmazonS3, AmazonS3Builder},
    local::LocalFileSystem,
    path::Path,
};
use tokio::task;

use super::{StorageError, path_of};
use crate::config;

const CONNECT: Duration = Duration::from_secs(3);
/// One request to S3.
const REQUEST: Duration = Duration::from_secs(5);
const MAX_RETRIES: usize = 2;

#[derive(Clone)]
pub(super) struct Place {
    backend: Backend,
    /// Before every key.
    root: Path,
}

#[derive(Clone)]
enum Backend {
    /// It is created when it is first used, and tried again if that fails.
    Directory(PathBuf, Arc<OnceLock<Arc<LocalFileSystem>>>),
    S3(Arc<AmazonS3>),
}

impl Place {
    pub fn open(settings: &config::Storage) -> anyhow::Result<Self> {
        Ok(match settings {
            config::Storage::Directory(path) => {
                Self { backend: Backend::Directory(path.clone(), Arc::default()), root: Path::default() }
            }
            config::Storage::S3(s3) => {
                Self { backend: Backend::S3(Arc::new(bucket(s3)?)), root: Path::parse(&s3.prefix)? }
            }
        })
    }

    pub fn root(&self) -> &Path {
        &self.root
    }

    pub fn path(&self, key: &str) -> Path {
        path_of(&self.root, key)
    }

    pub fn signer(&self) -> Option<Arc<AmazonS3>> {
        match &self.backend {
            Backend::Directory(..) => None,
            Backend::S3(s3) => Some(s3.clone()),
        }
    }

    pub async fn store(&self) -> Result<Arc<dyn ObjectStore>, StorageError> {
        match &self.backend {
            Backend::S3(s3) => Ok(s3.clone()),
            Backend::Directory(path, opened) => {
                if let Some(store) = opened.get() {
                    return Ok(store.clone());
                }
                let path = path.clone();
                let open = move || -> Result<_, StorageError> {
                    let failed = |error: std::io::Error| StorageError::Failed(error.to_string());
                    // Other users of the machine cannot read the files.
                    DirBuilder::new().recursive(true).mode(0o700).create(&path).map_err(failed)?;
                    let store = LocalFileSystem::new_with_prefix(&path)?;
                    Ok(store.with_fsync(true).with_automatic_cleanup(true))
                };
                let store = task::spawn_blocking(open).await;
                let store = store.map_err(|error| StorageError::Failed(error.to_string()))??;
                Ok(opened.get_or_init(|| Arc::new(store)).clone())
            }
        }
    }
}

fn bucket(settings: &config::S3) -> anyhow::Result<AmazonS3> {
    let config::S3 { bucket, endpoint, region, login, path_style, .. } = settings;
    let options = ClientOptions::new()
        .with_connect_timeout(CONNECT)
        .with_timeout(REQUEST)
        .with_allow_http(endpoint.as_ref().is_some_and(|url| url.starts_with("http:")))
        .with_content_type_for_suffix("webp", "image/webp");
    let backoff = BackoffConfig {
        init_backoff: Duration::from_millis(100),
        max_backoff: Duration::from_secs(1),
        ..BackoffConfig::default()
    };
    let retry = RetryConfig { backoff, max_retries: MAX_RETRIES, retry_timeout: REQUEST };
    let mut builder = AmazonS3Builder::new()
        .with_bucket_name(bucket)
        .with_region(region)
        .with_virtual_hosted_style_request(!path_style)
        .with_client_options(options)
        .with_retry(retry);
    if let Some(endpoint) = endpoint {
        builder = builder.with_endpoint(match path_style {
            true => endpoint.clone(),
            false => endpoint.replacen("://", &format!("://{bucket}."), 1),
        });
    }
    if let Some((id, secret)) = login {
        builder = builder.with_access_key_id(id).with_secret_access_key(secret.expose());
    }
    Ok(builder.build()?)
}
