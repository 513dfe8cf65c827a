//! `SECRET_KEY`: wraps the signing keys and keys the HMACs.

use std::{
    fs::{self, OpenOptions},
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::Path,
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
#[error("the secret key in {path} cannot be {action}: {source}")]
pub struct SecretKeyError {
    path: String,
    action: &'static str,
    source: io::Error,
}

impl SecretKey {
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
            // Refused, one could not rotate away from it.
            env.warn_if(
                !previous.as_ref().is_none_or(is_random),
                "the second, old value of SECRET_KEY can be guessed: remove it as soon as every server \
                 has started with the new one",
            );
        }
        Some(Self { current, previous })
    }

    /// The development key: generated into the data directory on first use and kept there.
    ///
    /// # Errors
    /// The file can be neither read nor written.
    pub fn load_or_generate(data_dir: &Path) -> Result<Self, SecretKeyError> {
        let path = data_dir.join("secret.key");
        let failed = |action| {
            let path = path.display().to_string();
            move |source| SecretKeyError { path, action, source }
        };
        match fs::read_to_string(&path) {
            Ok(text) if is_long_enough(text.trim()) => {
                Ok(Self { current: Secret::new(text.trim()), previous: None })
            }
            Ok(_) => Err(failed("used")(io::Error::other("it is too short"))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                fs::create_dir_all(data_dir).map_err(failed("written"))?;
                match write_private(&path, &generate()) {
                    Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                        Err(failed("written")(error))
                    }
                    // Read back: another process may have been first.
                    _ => Self::load_or_generate(data_dir),
                }
            }
            Err(error) => Err(failed("read")(error)),
        }
    }
}

fn generate() -> String {
    let mut bytes = [0; 32];
    rand::fill(&mut bytes).expect("the operating system has randomness");
    BASE64_URL_SAFE_NO_PAD.encode(bytes)
}

/// Written aside and linked, so that a crash leaves no half key and the first one wins.
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
