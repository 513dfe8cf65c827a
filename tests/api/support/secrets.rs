//! Finds secrets of the tests in the log of their servers.
//!
//! The log of all servers is kept in memory. Passwords, tokens, codes and keys are noted when a client sends or receives
//! them; at its end each server searches what was logged during its life for those that it was sent or has sent.

use std::{
    collections::{HashMap, HashSet},
    io::{self, Write},
    sync::{Mutex, Once, PoisonError},
};

use serde_json::Value;

use super::{PASSWORD, SECRET_KEY};

static LOG: Mutex<Vec<u8>> = Mutex::new(Vec::new());
/// By the address of the server.
static SECRETS: Mutex<Option<HashMap<String, HashSet<String>>>> = Mutex::new(None);

/// Members of bodies whose values are secrets.
const NAMES: [&str; 9] = [
    "password",
    "new_password",
    "current_password",
    "access_token",
    "refresh_token",
    "token",
    "code",
    "key",
    "client_secret",
];
/// Shorter texts, such as codes of six digits, also occur by chance.
const MIN_LENGTH: usize = 8;

struct Log;

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        LOG.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Begins to keep the log of the servers in this process, with all lines of Mintage. Returns where it ends now.
pub fn listen() -> usize {
    static STARTED: Once = Once::new();
    STARTED.call_once(|| {
        let subscriber = tracing_subscriber::fmt()
            .json()
            .with_env_filter("info,mintage=trace,actix_http=off")
            .with_writer(|| Log);
        subscriber.init();
    });
    LOG.lock().unwrap_or_else(PoisonError::into_inner).len()
}

/// Notes the secrets in a JSON body that this server was sent or has sent.
pub fn note(base: &str, body: &[u8]) {
    if let Ok(Value::Object(members)) = serde_json::from_slice(body) {
        let named = NAMES.iter().filter_map(|name| members.get(*name)?.as_str());
        let secrets: Vec<_> = named.filter(|text| text.len() >= MIN_LENGTH).map(str::to_owned).collect();
        let mut all = SECRETS.lock().unwrap_or_else(PoisonError::into_inner);
        all.get_or_insert_default().entry(base.to_owned()).or_default().extend(secrets);
    }
}

/// The lines of the log in memory from `since` on that contain a secret of this server.
pub fn leaked(base: &str, since: usize) -> Vec<String> {
    let log = LOG.lock().unwrap_or_else(PoisonError::into_inner);
    let text = String::from_utf8_lossy(log.get(since..).unwrap_or_default()).into_owned();
    drop(log);
    leaked_in(base, &text)
}

/// The lines of a log that contain a secret of this server.
pub fn leaked_in(base: &str, text: &str) -> Vec<String> {
    let mut secrets = SECRETS.lock().unwrap_or_else(PoisonError::into_inner);
    let mut secrets = secrets.get_or_insert_default().remove(base).unwrap_or_default();
    // The code of a problem is no code of a mail.
    secrets.retain(|secret| !secret.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-'));
    secrets.extend([PASSWORD.to_owned(), SECRET_KEY.to_owned()]);
    let has_secret = |line: &&str| secrets.iter().any(|secret| line.contains(secret));
    text.lines().filter(has_secret).map(str::to_owned).collect()
}
