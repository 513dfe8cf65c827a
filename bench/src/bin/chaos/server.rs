//! The server under test, with settings that let faults show: hashing is cheap and no limit is in the way.

use std::{
    env, fs,
    process::{Child, Command, ExitStatus, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use mintage_bench::{
    http::{Connection, member},
    process::{Home, PASSWORD, free_port, sibling},
};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

const SETTINGS: [(&str, &str); 10] = [
    ("PROFILE", "development"),
    // Without the lines about requests of this profile: they would fill the disk under load.
    ("LOG_LEVEL", "info,mintage::http=warn"),
    ("SECRET_KEY", "5f0c6e1a9b3d47e28c1f60d2ab94e7735d1e08fc42b9a6d7"),
    // The same on every port, since it is the issuer of tokens.
    ("PUBLIC_URL", "http://mintage.localhost"),
    ("BCRYPT_COST", "4"),
    ("RATE_LIMITS", "off"),
    ("REQUIRE_CONFIRMATION", "off"),
    ("COINS_PROVIDERS", "demo"),
    ("SOCIAL_PROVIDERS", "none"),
    ("MAIL_TRANSPORT", "file"),
];

/// Killed when dropped.
pub struct Server {
    pub child: Child,
    pub address: String,
    /// The directory where it runs and writes its mails.
    pub home: Home,
}

/// A person with an account and a session.
pub struct Account {
    pub email: String,
    pub access: String,
    pub refresh: String,
}

impl Server {
    pub fn start(database: &str, settings: &[(&str, &str)]) -> Result<Self> {
        let home = Home::new()?;
        let log = fs::File::create(home.0.join("server.log"))?;
        let server = Self::launch(home, database, settings, Stdio::null(), log.into())?;
        server
            .wait_until_ready()
            .with_context(|| fs::read_to_string(server.home.0.join("server.log")).unwrap_or_default())?;
        Ok(server)
    }

    /// Starts a server without waiting until it is ready.
    pub fn launch(
        home: Home,
        database: &str,
        settings: &[(&str, &str)],
        stdout: Stdio,
        stderr: Stdio,
    ) -> Result<Self> {
        let address = format!("127.0.0.1:{}", free_port()?);
        let child = Command::new(sibling("mintage")?)
            .current_dir(&home.0)
            .env_clear()
            .env("PATH", env::var_os("PATH").unwrap_or_default())
            .envs(SETTINGS)
            .envs([
                ("DATABASE_URL", database),
                ("BIND", &address),
                ("MAIL_DIR", &home.0.join("mail").display().to_string()),
            ])
            .envs(settings.iter().copied())
            .stdin(Stdio::null())
            .stdout(stdout)
            .stderr(stderr)
            .spawn()?;
        Ok(Self { child, address, home })
    }

    pub fn wait_until_ready(&self) -> Result<()> {
        wait_for("a server that is ready", || self.get("/readyz").is_ok_and(|status| status == 200))
    }

    /// Sends a request on a connection of its own.
    pub fn get(&self, path: &str) -> Result<u16> {
        Ok(Connection::open(&self.address)?.get(path, "")?.status)
    }

    pub fn account(&self, email: &str) -> Result<Account> {
        let mut connection = Connection::open(&self.address)?;
        let answer = connection.post("/api/v1/auth/register", &credentials(email))?;
        ensure!(answer.status == 201, "registration: {} {}", answer.status, answer.body);
        let answer = connection.post("/api/v1/auth/login", &credentials(email))?;
        ensure!(answer.status == 200, "log-in: {} {}", answer.status, answer.body);
        let (access, refresh) =
            (member(&answer.body, "access_token")?, member(&answer.body, "refresh_token")?);
        Ok(Account { email: email.to_owned(), access, refresh })
    }

    pub fn accounts(&self, prefix: &str, count: usize) -> Result<Vec<Account>> {
        (0..count).map(|number| self.account(&format!("{prefix}{number}@example.com"))).collect()
    }

    pub fn signal(&self, signal: Signal) -> Result<()> {
        Ok(kill(Pid::from_raw(i32::try_from(self.child.id())?), signal)?)
    }

    pub fn wait(&mut self, patience: Duration) -> Result<ExitStatus> {
        let give_up_at = Instant::now() + patience;
        loop {
            if let Some(status) = self.child.try_wait()? {
                return Ok(status);
            }
            if Instant::now() > give_up_at {
                bail!("the server does not end");
            }
            thread::sleep(Duration::from_millis(2));
        }
    }

    pub fn mails(&self) -> usize {
        let entries = fs::read_dir(self.home.0.join("mail")).into_iter().flatten().flatten();
        entries.filter(|entry| entry.path().extension().is_some_and(|end| end == "eml")).count()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub fn credentials(email: &str) -> String {
    format!(r#"{{"email":"{email}","password":"{PASSWORD}"}}"#)
}

/// Waits until the condition holds. After a minute the run fails.
pub fn wait_for(what: &str, mut condition: impl FnMut() -> bool) -> Result<()> {
    let give_up_at = Instant::now() + Duration::from_mins(1);
    while !condition() {
        if Instant::now() > give_up_at {
            bail!("{what} did not come");
        }
        thread::sleep(Duration::from_millis(5));
    }
    Ok(())
}

/// The session of an access token, from its payload.
pub fn session_of(token: &str) -> Result<String> {
    use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
    let payload = token.split('.').nth(1).context("a JWT")?;
    let claims: serde_json::Value = serde_json::from_slice(&BASE64_URL_SAFE_NO_PAD.decode(payload)?)?;
    Ok(claims["sid"].as_str().context("sid")?.to_owned())
}
