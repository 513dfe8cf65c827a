//! The programs under measurement, each on a port and a directory of its own.

use std::{
    env, fs,
    net::TcpListener,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};

use crate::http::{Connection, member};

pub const PASSWORD: &str = "correct horse battery";

/// A directory that PostgreSQL's own user can reach. Removed when dropped.
pub struct Home(pub PathBuf);

impl Home {
    pub fn new() -> Result<Self> {
        let name = format!("mintage-bench-{}-{}", std::process::id(), free_port()?);
        let path = std::env::temp_dir().join(name);
        fs::create_dir(&path)?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755))?;
        Ok(Self(path))
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Returns the path of a program that was built together with this one.
pub fn sibling(name: &str) -> Result<PathBuf> {
    Ok(env::current_exe()?.with_file_name(name))
}

pub fn free_port() -> Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

/// A running program. Killed when dropped.
pub struct Baseline {
    pub child: Child,
    pub address: String,
}

impl Baseline {
    pub fn start(name: &str, arguments: &[&str]) -> Result<Self> {
        let port = free_port()?;
        let child = Command::new(sibling(name)?).arg(port.to_string()).args(arguments).spawn()?;
        let baseline = Self { child, address: format!("127.0.0.1:{port}") };
        wait_for(|| Connection::open(&baseline.address).is_ok())?;
        Ok(baseline)
    }
}

impl Drop for Baseline {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// `mintage` as in production, on an embedded cluster of its own.
pub struct Mintage {
    child: Child,
    pub address: String,
    home: PathBuf,
    pub ready_after: Duration,
}

impl Mintage {
    pub fn start(home: &Path) -> Result<Self> {
        Self::start_with(home, &[])
    }

    pub fn start_with(home: &Path, settings: &[(&str, &str)]) -> Result<Self> {
        let port = free_port()?;
        let address = format!("127.0.0.1:{port}");
        let began = Instant::now();
        let child = Command::new(sibling("mintage")?)
            .current_dir(home)
            .env_clear()
            .env("PATH", env::var_os("PATH").unwrap_or_default())
            .envs([
                ("PROFILE", "production"),
                ("EMBEDDED_DATABASE", "on"),
                ("SECRET_KEY", "5f0c6e1a9b3d47e28c1f60d2ab94e7735d1e08fc42b9a6d7"),
                ("PUBLIC_URL", "http://bench.localhost"),
                ("BIND", address.as_str()),
                ("RATE_LIMITS", "off"),
                ("DRAIN_DELAY", "0s"),
                // No service outside is called.
                ("COINS_PROVIDERS", "demo"),
                ("COINS_CATALOGUE", "off"),
                ("COINS_GLOBAL", "off"),
                ("FEAR_AND_GREED_URL", "off"),
            ])
            .envs(settings.iter().copied())
            .stdout(Stdio::null())
            .stderr(fs::File::create(home.join("server.log"))?)
            .spawn()?;
        wait_for(|| {
            Connection::open(&address)
                .and_then(|mut one| one.get("/readyz", ""))
                .is_ok_and(|answer| answer.status == 200)
        })?;
        Ok(Self { child, address, home: home.to_owned(), ready_after: began.elapsed() })
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub fn postgres_pid(&self) -> Result<u32> {
        let path = self.sockets().join("cluster/postmaster.pid");
        Ok(fs::read_to_string(path)?.lines().next().context("empty")?.parse()?)
    }

    pub fn sockets(&self) -> PathBuf {
        self.home.join(".mintage/postgres")
    }

    /// Registers if necessary and logs in. Returns the access and the refresh token.
    pub fn log_in(&self, email: &str) -> Result<(String, String)> {
        let mut connection = Connection::open(&self.address)?;
        let body = format!(r#"{{"email":"{email}","password":"{PASSWORD}"}}"#);
        connection.post("/api/v1/auth/register", &body)?;
        let answer = connection.post("/api/v1/auth/login", &body)?;
        ensure!(answer.status == 200, "log-in: {}", answer.body);
        Ok((member(&answer.body, "access_token")?, member(&answer.body, "refresh_token")?))
    }

    pub fn sql(&self, statements: &str) -> Result<String> {
        let output = Command::new(postgres_program("psql")?)
            .args(["-XqAt", "-v", "ON_ERROR_STOP=1", "-U", "mintage", "-d", "mintage", "-h"])
            .arg(self.sockets())
            .args(["-c", statements])
            .output()?;
        ensure!(output.status.success(), "psql: {}", String::from_utf8_lossy(&output.stderr));
        Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    }
}

impl Drop for Mintage {
    fn drop(&mut self) {
        // SIGTERM, so that it also stops its PostgreSQL.
        let _ = Command::new("kill").arg(self.pid().to_string()).status();
        let _ = self.child.wait();
    }
}

/// A client program of PostgreSQL, on PATH or beside the server's.
pub fn postgres_program(name: &str) -> Result<PathBuf> {
    let packaged = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut places: Vec<PathBuf> = packaged.map(|version| version.path().join("bin")).collect();
    places.extend(env::split_paths(&env::var_os("PATH").unwrap_or_default()));
    let found = places.into_iter().map(|place| place.join(name)).find(|path| path.exists());
    found.with_context(|| format!("{name} is not installed"))
}

fn wait_for(mut condition: impl FnMut() -> bool) -> Result<()> {
    let give_up_at = Instant::now() + Duration::from_secs(120);
    while !condition() {
        if Instant::now() > give_up_at {
            bail!("a server does not start");
        }
        thread::sleep(Duration::from_millis(2));
    }
    Ok(())
}
