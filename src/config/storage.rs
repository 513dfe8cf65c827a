//! Settings of the object storage.

use std::path::{Path, PathBuf};

use url::Url;

use super::{
    address,
    env::{Env, Secret},
};

/// Where files such as profile pictures are stored.
#[derive(Clone, Debug)]
pub enum Storage {
    Directory(PathBuf),
    S3(S3),
}

/// A bucket of a service that speaks the S3 protocol.
#[derive(Clone, Debug)]
pub struct S3 {
    pub bucket: String,
    /// Before every key, without slashes at its ends.
    pub prefix: String,
    /// None for Amazon S3.
    pub endpoint: Option<String>,
    pub region: String,
    /// Access key id and secret; None for the role of the machine.
    pub login: Option<(String, Secret)>,
    /// Whether the bucket stands in the path of an address, not in its host name.
    pub path_style: bool,
}

const EXPECTED: &str = "a directory, file:///directory or s3://bucket/prefix";

impl Storage {
    pub(super) fn read(env: &mut Env, data_dir: &Path) -> Self {
        let url = env.text("STORAGE_URL");
        let endpoint = address::read(
            env,
            "S3_ENDPOINT",
            &["http", "https"],
            "an http(s) address without a query, such as https://s3.example.com",
        );
        let region = env.text("S3_REGION").unwrap_or_else(|| "us-east-1".into());
        let login = (env.text("S3_ACCESS_KEY_ID"), env.secret("S3_SECRET_ACCESS_KEY"));
        if login.0.is_some() != login.1.is_some() {
            env.wrong("S3_ACCESS_KEY_ID", "set together with S3_SECRET_ACCESS_KEY");
        }
        let path_style = env.switch("S3_PATH_STYLE", endpoint.is_some());
        let default = data_dir.join("storage");
        env.note_default("STORAGE_URL", default.display());
        let default = Self::Directory(default);
        let Some(url) = url else {
            return default;
        };
        match place(&url) {
            Some(Place::Directory(path)) => Self::Directory(path),
            Some(Place::Bucket(bucket, prefix)) => {
                let host = endpoint.as_deref().and_then(|text| address::parse(text, &["http"]));
                let exposed = host.is_some_and(|url| !url.host_str().is_some_and(address::is_here));
                env.warn_if(exposed, "S3_ENDPOINT is http: pictures cross the network unencrypted");
                let login = login.0.zip(login.1);
                Self::S3(S3 { bucket, prefix, endpoint, region, login, path_style })
            }
            None => {
                env.wrong("STORAGE_URL", EXPECTED);
                default
            }
        }
    }
}

enum Place {
    Directory(PathBuf),
    Bucket(String, String),
}

/// None if the text is neither a path nor an address of a known scheme: a mistyped address must not become a directory.
fn place(text: &str) -> Option<Place> {
    let Ok(url) = Url::parse(text) else {
        return (!text.contains("://")).then(|| Place::Directory(text.into()));
    };
    if url.scheme() == "file" {
        let plain = url.query().is_none() && url.fragment().is_none();
        return url.to_file_path().ok().filter(|_| plain).map(Place::Directory);
    }
    let url = address::parse(text, &["s3"]).filter(|url| url.port().is_none())?;
    let bucket = url.host_str()?.to_owned();
    let prefix = url.path().trim_matches('/').to_owned();
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_./".contains(&byte);
    let parts_fit = prefix.is_empty() || prefix.split('/').all(|part| !["", ".", ".."].contains(&part));
    (parts_fit && prefix.bytes().all(is_plain)).then_some(Place::Bucket(bucket, prefix))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_directories_or_buckets() {
        for (text, expected) in [
            ("data/pictures", "data/pictures"),
            ("/srv/pictures", "/srv/pictures"),
            ("file:///srv/pictures", "/srv/pictures"),
            ("s3://bucket", "bucket:"),
            ("s3://bucket/", "bucket:"),
            ("s3://my-bucket/a/b/", "my-bucket:a/b"),
        ] {
            let found = match place(text).expect(text) {
                Place::Directory(path) => path.display().to_string(),
                Place::Bucket(bucket, prefix) => format!("{bucket}:{prefix}"),
            };
            assert_eq!(found, expected, "{text}");
        }
        for text in [
            "s3:/bucket",
            "s3:bucket",
            "s3://",
            "s3://key:secret@bucket",
            "s3://bucket?x",
            "s3://bucket/a//b",
            "s3://bucket/a%2f",
            "https://bucket",
            "file://host/srv",
            "gs://bucket",
        ] {
            assert!(place(text).is_none(), "{text}");
        }
    }
}
