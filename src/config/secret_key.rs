//! `SECRET_KEY`, from which the keys for encrypting signing keys and for HMACs are derived.

use std::{
    fs::{self, OpenOptions},
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use aws_lc_rs::rand;
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};

use super::{
    Profile,
    env::{Env, Secret},
    strength::{is_long_enough, looks_random},
};

/// The key in use and, during a rotation, the one before it.
#[derive(Clone, Debug)]
pub struct SecretKey {
    pub current: Secret,
    pub previous: Option<Secret>,
}

#[derive(Debug, thiserror::Error)]
pub enum SecretKeyError {
    #[error("the secret key in {} cannot be {action}: {cause}", path.display())]
    Io { path: PathBuf, action: &'static str, cause: io::Error },
    /// The content is not a key, as after a full disk.
    #[error(
        "the secret key in {} {problem}: {}, after you have removed that file",
        path.display(),
        SecretKey::REMEDY
    )]
    Unfit { path: PathBuf, problem: &'static str },
}

impl SecretKey {
    /// The instruction for an operator whose file is lost.
    pub const REMEDY: &str = "restore it from a backup, or, if it is lost, run \
                               `mintage sessions end --all`, which makes new keys and ends all sessions";

    pub(super) fn read(env: &mut Env, profile: Profile) -> Option<Self> {
        let expected = "32 or more random characters, in hex or with upper and lower case mixed, and no words \
                        (for example the output of `openssl rand -base64 32`), or two such values separated by a comma: the new one first";
        let Some(value) = env.secret("SECRET_KEY") else {
            if profile == Profile::Production {
                env.wrong("SECRET_KEY", expected);
            }
            return None;
        };
        let mut keys = value.expose().split(',').map(str::trim).map(Secret::new);
        let (current, previous, more) = (keys.next()?, keys.next(), keys.next());
        let is_long = |key: &Secret| is_long_enough(key.expose());
        let is_random = |key: &Secret| looks_random(key.expose());
        let unfit = match profile {
            Profile::Development => !is_long(&current),
            Profile::Production => !is_random(&current),
        };
        if unfit || !previous.as_ref().is_none_or(is_long) || more.is_some() {
            env.wrong("SECRET_KEY", expected);
        }
        if profile == Profile::Production {
            // Not an error, since the rotation to a better key needs the old one.
            env.warn_if(
                !previous.as_ref().is_none_or(is_random),
                "the second, old value of SECRET_KEY can be guessed: remove it as soon as every server \
                 has started with the new one",
            );
        }
        Some(Self { current, previous })
    }

    /// The path of the development key.
    pub fn path(data_dir: &Path) -> PathBuf {
        data_dir.join("secret.key")
    }

    /// Reads the development key in the data directory; None if there is no such file.
    ///
    /// # Errors
    /// The file cannot be read, or its content is not a key.
    pub fn load(data_dir: &Path) -> Result<Option<Self>, SecretKeyError> {
        let path = Self::path(data_dir);
        match fs::read_to_string(&path) {
            Ok(text) if is_long_enough(text.trim()) => {
                Ok(Some(Self { current: Secret::new(text.trim()), previous: None }))
            }
            Ok(text) => {
                let problem = if text.trim().is_empty() { "is empty" } else { "is too short" };
                Err(SecretKeyError::Unfit { path, problem })
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(cause) => Err(SecretKeyError::Io { path, action: "read", cause }),
        }
    }

    /// Makes the development key and stores it in the data directory. If another process was first, returns its key.
    ///
    /// # Errors
    /// The file cannot be written or read.
    pub fn generate(data_dir: &Path) -> Result<Self, SecretKeyError> {
        let path = Self::path(data_dir);
        let failed = |action, cause| SecretKeyError::Io { path: path.clone(), action, cause };
        fs::create_dir_all(data_dir).map_err(|cause| failed("written", cause))?;
        match write_private(&path, &random()) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(failed("written", error)),
            _ => Self::load(data_dir)?.ok_or_else(|| failed("read", io::ErrorKind::NotFound.into())),
        }
    }
}

fn random() -> String {
    let mut bytes = [0; 32];
    rand::fill(&mut bytes).expect("the operating system has randomness");
    BASE64_URL_SAFE_NO_PAD.encode(bytes)
}

/// Writes a temporary file and links it, so that a crash leaves no partial key and the first process wins.
fn write_private(path: &Path, text: &str) -> io::Result<()> {
    let unfinished = path.with_extension(std::process::id().to_string());
    let _ = fs::remove_file(&unfinished);
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&unfinished)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    let linked = fs::hard_link(&unfinished, path);
    fs::remove_file(unfinished)?;
    linked
}
