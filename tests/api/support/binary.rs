//! The binary as an operator runs it.

use std::{
    fs,
    io::{self, BufRead, BufReader, Write},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Output, Stdio},
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::json;
use tempfile::TempDir;

use super::{Client, PASSWORD, secrets};

pub const BOUND: Duration = Duration::from_mins(3);

/// A directory that PostgreSQL's own user can get to as well.
pub fn directory() -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755)).unwrap();
    directory
}

pub fn mintage(home: &Path, settings: &[(&str, &str)]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mintage"));
    command.current_dir(home).env_clear().stdin(Stdio::null());
    // The last one is set where coverage is measured.
    let kept = ["PATH", "HOME", "LLVM_PROFILE_FILE"];
    command.envs(kept.iter().filter_map(|name| Some((name, std::env::var_os(name)?))));
    command.envs([("BIND", "127.0.0.1:0"), ("BCRYPT_COST", "4"), ("RATE_LIMITS", "off")]);
    // No service outside is called.
    command.envs([("COINS_PROVIDERS", "demo"), ("SOCIAL_PROVIDERS", "none")]);
    command.envs([("COINS_CATALOGUE", "off"), ("COINS_GLOBAL", "off"), ("FEAR_AND_GREED_URL", "off")]);
    command.envs(settings.iter().copied());
    command
}

/// Runs to the end, within the bound.
pub fn run(command: &mut Command) -> Output {
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let (done, output) = mpsc::channel();
    thread::spawn(move || done.send(child.wait_with_output().unwrap()));
    output.recv_timeout(BOUND).expect("the command ends")
}

pub fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

pub fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[track_caller]
pub fn succeed(command: &mut Command) -> String {
    let output = run(command);
    assert!(output.status.success(), "{}{}", stdout(&output), stderr(&output));
    stdout(&output)
}

#[track_caller]
pub fn fail(command: &mut Command) -> String {
    let output = run(command);
    assert!(!output.status.success(), "it succeeded: {}", stdout(&output));
    stderr(&output)
}

/// A running `mintage serve`; killed at the end of a test that did not stop it.
pub struct Server {
    child: Child,
    pub base: String,
    pub welcome: String,
    /// What it prints after that.
    pub lines: mpsc::Receiver<String>,
    /// Its log, unless the test looks at it.
    log: Option<tempfile::NamedTempFile>,
}

impl Server {
    pub fn start(home: &Path, settings: &[(&str, &str)]) -> Self {
        let log = tempfile::NamedTempFile::new().unwrap();
        let mut server = Self::start_logging_to(log.reopen().unwrap().into(), home, settings);
        server.log = Some(log);
        server
    }

    pub fn start_logging_to(log: Stdio, home: &Path, settings: &[(&str, &str)]) -> Self {
        Self::launch(mintage(home, settings), log)
    }

    /// With so many descriptors, as soft and as hard limit.
    pub fn start_limited(descriptors: u32, log: Stdio, home: &Path, settings: &[(&str, &str)]) -> Self {
        let server = mintage(home, settings);
        let mut shell = Command::new("sh");
        shell.arg("-c").arg(format!("ulimit -n {descriptors}; exec \"$0\"")).arg(server.get_program());
        shell.current_dir(home).env_clear().stdin(Stdio::null());
        shell.envs(server.get_envs().filter_map(|(name, value)| Some((name, value?))));
        Self::launch(shell, log)
    }

    fn launch(mut command: Command, log: Stdio) -> Self {
        let mut child = command.stdout(Stdio::piped()).stderr(log).spawn().unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let (send, lines) = mpsc::channel();
        thread::spawn(move || stdout.lines().map_while(Result::ok).for_each(|line| drop(send.send(line))));
        let mut welcome = String::new();
        // One line with LOG_FORMAT=json.
        while !welcome.contains("  Coins ") && !welcome.starts_with('{') {
            welcome += &lines.recv_timeout(BOUND).expect("the server says where it is");
            welcome.push('\n');
        }
        let first = welcome.lines().next().unwrap();
        let base = match serde_json::from_str::<serde_json::Value>(first) {
            Ok(line) => line["address"].as_str().unwrap().to_owned(),
            Err(_) => first.strip_prefix("Mintage serves ").unwrap().to_owned(),
        };
        Self { child, base, welcome, lines, log: None }
    }

    pub fn client(&self) -> Client {
        Client::new(&self.base)
    }

    pub async fn register(&self, email: &str) {
        let body = json!({"email": email, "password": PASSWORD});
        self.client().post("/api/v1/auth/register", &body).await.assert(201);
    }

    pub async fn log_in(&self, email: &str) -> Client {
        let mut client = self.client();
        let body = json!({"email": email, "password": PASSWORD});
        let pair = client.post("/api/v1/auth/login", &body).await.assert(200).json();
        client.take(&pair);
        client
    }

    /// The most memory that the process has had at once, in bytes.
    pub fn peak_memory(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        peak.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
    }

    /// Sends SIGTERM and returns how the process ended.
    pub fn stop(&mut self) -> ExitStatus {
        self.signal(Signal::SIGTERM);
        let status = self.wait();
        if !status.success() {
            let _ = io::stderr().write_all(format!("a stopped server ended with {status}\n").as_bytes());
        }
        status
    }

    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.wait();
    }

    pub fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.child.id().cast_signed()), signal).unwrap();
    }

    pub fn wait(&mut self) -> ExitStatus {
        let give_up_at = Instant::now() + BOUND;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(Instant::now() < give_up_at, "the server does not end");
            thread::sleep(Duration::from_millis(20));
        }
    }
}

pub fn postmaster_pid(home: &Path) -> PathBuf {
    home.join(".mintage/postgres/cluster/postmaster.pid")
}

pub fn kill_postgres(home: &Path) {
    let text = fs::read_to_string(postmaster_pid(home)).unwrap();
    let pid = Pid::from_raw(text.lines().next().unwrap().parse().unwrap());
    kill(pid, Signal::SIGKILL).unwrap();
    let give_up_at = Instant::now() + BOUND;
    // Signal 0 only asks whether the process is there.
    while kill(pid, None).is_ok() && Instant::now() < give_up_at {
        let zombie = fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| stat.contains(") Z "));
        if zombie {
            return;
        }
        thread::sleep(Duration::from_millis(20));
    }
}

/// Has a mail sent by whatever server runs on this database.
pub fn send_test_mail(home: &Path, url: &str) {
    let mut command = mintage(home, &[("DATABASE_URL", url)]);
    let said = succeed(command.args(["send-test-mail", "--to", "ada@example.com"]));
    assert!(said.contains("a running server sends"), "{said}");
}

pub fn smtp_settings<'a>(url: &'a str, port: &'a str) -> [(&'a str, &'a str); 5] {
    [
        ("DATABASE_URL", url),
        ("MAIL_SERVER", "127.0.0.1"),
        ("MAIL_PORT", port),
        ("MAIL_SECURITY", "none"),
        ("MAIL_FROM", "no-reply@mintage.test"),
    ]
}

impl Drop for Server {
    fn drop(&mut self) {
        let running = matches!(self.child.try_wait(), Ok(None));
        if running {
            self.signal(Signal::SIGTERM);
            self.wait();
        }
        let Some(log) = self.log.take() else {
            return;
        };
        let text = fs::read_to_string(log.path()).unwrap_or_default();
        if thread::panicking() {
            let _ = io::stderr().write_all(text.as_bytes());
        } else {
            let leaked = secrets::leaked_in(&self.base, &text);
            assert!(leaked.is_empty(), "secrets are in the log: {leaked:#?}");
        }
    }
}
