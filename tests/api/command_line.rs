//! The binary as an operator runs it.

use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
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

use crate::support::{
    Client, Database, Mailbox, PASSWORD, eventually,
    smtp::{Encryption, Manner, SmtpServer},
};

const BOUND: Duration = Duration::from_mins(3);

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
    // Nobody outside is asked.
    command.envs([("COINS_PROVIDERS", "demo"), ("SOCIAL_PROVIDERS", "none")]);
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
    welcome: String,
    /// What it prints after that.
    lines: mpsc::Receiver<String>,
}

impl Server {
    pub fn start(home: &Path, settings: &[(&str, &str)]) -> Self {
        Self::start_logging_to(Stdio::inherit(), home, settings)
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
        while !welcome.contains("  Coins ") {
            welcome += &lines.recv_timeout(BOUND).expect("the server says where it is");
            welcome.push('\n');
        }
        let first = welcome.lines().next().unwrap();
        let base = first.strip_prefix("Mintage serves ").unwrap().to_owned();
        Self { child, base, welcome, lines }
    }

    pub fn client(&self) -> Client {
        Client::new(&self.base)
    }

    /// SIGTERM, and how it ended.
    pub fn stop(&mut self) -> ExitStatus {
        self.signal(Signal::SIGTERM);
        self.wait()
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

impl Drop for Server {
    fn drop(&mut self) {
        let running = matches!(self.child.try_wait(), Ok(None));
        if running {
            self.signal(Signal::SIGTERM);
            self.wait();
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

async fn register(server: &Server, email: &str) {
    let body = json!({"email": email, "password": PASSWORD});
    server.client().post("/api/v1/auth/register", &body).await.assert(201);
}

async fn log_in(server: &Server, email: &str) -> Client {
    let mut client = server.client();
    let body = json!({"email": email, "password": PASSWORD});
    let pair = client.post("/api/v1/auth/login", &body).await.assert(200).json();
    client.take(&pair);
    client
}

#[tokio::test]
async fn the_first_start_needs_nothing_and_says_where_everything_is() {
    let home = directory();
    let mut server = Server::start(home.path(), &[]);
    for part in
        ["/apidocs/", ".mintage/postgres (embedded PostgreSQL, created)", "demonstration", "127.0.0.1:"]
    {
        assert!(server.welcome.contains(part), "{part} is missing in: {}", server.welcome);
    }
    server.client().get("/readyz").await.assert(200);
    let key = home.path().join(".mintage/secret.key");
    assert_eq!(fs::metadata(key).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(server.stop().success());
    assert!(!postmaster_pid(home.path()).exists(), "postgres was stopped with it");
}

#[tokio::test]
async fn kill_9_loses_nothing_and_the_next_start_adopts_the_running_postgres() {
    let home = directory();
    let settings = [("PUBLIC_URL", "http://mintage.test")];
    let mut server = Server::start(home.path(), &[]);
    register(&server, "ada@example.com").await;
    server.kill();
    assert!(postmaster_pid(home.path()).exists(), "postgres goes on");

    let mut server = Server::start(home.path(), &settings);
    assert!(server.welcome.contains("adopted"), "{}", server.welcome);
    let mut client = log_in(&server, "ada@example.com").await;
    server.kill();
    kill_postgres(home.path());
    assert!(postmaster_pid(home.path()).exists(), "the pid file is stale");

    let mut server = Server::start(home.path(), &settings);
    assert!(server.welcome.contains("recovered"), "{}", server.welcome);
    client = client.on(&server.base);
    client.get("/api/v1/user").await.assert(200);
    client.refresh().await.assert(200);
    assert!(server.stop().success());

    let server = Server::start(home.path(), &settings);
    assert!(server.welcome.contains("(embedded PostgreSQL, started)"), "{}", server.welcome);
}

#[tokio::test]
async fn when_postgres_dies_the_server_ends_and_the_next_start_recovers() {
    let home = directory();
    let mut server = Server::start(home.path(), &[]);
    register(&server, "ada@example.com").await;
    kill_postgres(home.path());
    assert!(!server.wait().success());
    let server = Server::start(home.path(), &[]);
    assert!(server.welcome.contains("recovered"), "{}", server.welcome);
    log_in(&server, "ada@example.com").await;
}

#[tokio::test]
async fn a_second_signal_does_not_wait() {
    let database = Database::create();
    let home = directory();
    let url = database.url();
    let mut server = Server::start(home.path(), &[("DATABASE_URL", url.expose()), ("DRAIN_DELAY", "5m")]);
    server.signal(Signal::SIGTERM);
    let client = server.client();
    eventually("draining", async || client.get("/readyz").await.status == 503).await;
    server.signal(Signal::SIGINT);
    assert!(server.wait().success());
}

#[tokio::test]
async fn the_health_check_tells_whether_the_server_lives() {
    let database = Database::create();
    let home = directory();
    let url = database.url();
    let server = Server::start(home.path(), &[("DATABASE_URL", url.expose())]);
    let bind = server.base.strip_prefix("http://").unwrap().to_owned();
    succeed(mintage(home.path(), &[("BIND", &bind)]).arg("healthcheck"));
    drop(server);
    fail(mintage(home.path(), &[("BIND", &bind)]).arg("healthcheck"));
}

#[tokio::test]
async fn a_second_server_on_the_same_data_says_so_and_ends() {
    let home = directory();
    let server = Server::start(home.path(), &[]);
    let error = fail(&mut mintage(home.path(), &[]));
    assert!(error.contains("another mintage (pid "), "{error}");
    assert_eq!(error.lines().count(), 1);
    server.client().get("/readyz").await.assert(200);
}

#[tokio::test]
async fn admins_and_keys_are_managed_while_the_server_runs() {
    let home = directory();
    let server = Server::start(home.path(), &[]);
    let mut create = mintage(home.path(), &[]);
    create.args(["create-admin", "--email", "root@example.com", "--password-stdin"]).stdin(Stdio::piped());
    let mut child = create.stdout(Stdio::piped()).spawn().unwrap();
    writeln!(child.stdin.take().unwrap(), "{PASSWORD}").unwrap();
    assert!(child.wait().unwrap().success());
    let admin = log_in(&server, "root@example.com").await;
    admin.get("/api/v1/users").await.assert(200);

    register(&server, "ada@example.com").await;
    let user = log_in(&server, "ada@example.com").await;
    // Whoever registered an address first must not become an admin by it.
    let promoted = succeed(mintage(home.path(), &[]).args(["create-admin", "--email", "ADA@example.com"]));
    assert!(promoted.contains("is an admin now, with a new password"), "{promoted}");
    let body = json!({"email": "ada@example.com", "password": PASSWORD});
    server.client().post("/api/v1/auth/login", &body).await.assert(401);
    let password = promoted.lines().find_map(|line| line.strip_prefix("password: ")).unwrap();
    let body = json!({"email": "ada@example.com", "password": password});
    let mut client = server.client();
    client.take(&client.post("/api/v1/auth/login", &body).await.assert(200).json());
    client.get("/api/v1/users").await.assert(200);
    let give_up_at = Instant::now() + BOUND;
    while user.get("/api/v1/user").await.status != 401 {
        assert!(Instant::now() < give_up_at, "the old role lives on");
    }

    let generated = succeed(mintage(home.path(), &[]).args(["create-admin", "--email", "ops@example.com"]));
    let password = generated.lines().find_map(|line| line.strip_prefix("password: ")).unwrap();
    let body = json!({"email": "ops@example.com", "password": password});
    server.client().post("/api/v1/auth/login", &body).await.assert(200);

    let before = succeed(mintage(home.path(), &[]).args(["keys", "list"]));
    assert!(before.contains("current") && before.contains("next"), "{before}");
    let error = fail(mintage(home.path(), &[]).args(["keys", "rotate"]));
    assert!(error.contains("--hurry"), "{error}");
    succeed(mintage(home.path(), &[]).args(["keys", "rotate", "--hurry"]));
    let after = succeed(mintage(home.path(), &[]).args(["keys", "list"]));
    assert!(after.contains("retired") && after.lines().count() == 3, "{after}");
    admin.get("/api/v1/users").await.assert(200);
}

#[tokio::test]
async fn a_stolen_key_is_revoked_while_the_server_runs() {
    let home = directory();
    let server = Server::start(home.path(), &[]);
    register(&server, "ada@example.com").await;
    let mut ada = log_in(&server, "ada@example.com").await;
    let kid_in = |state: &str| {
        let list = succeed(mintage(home.path(), &[]).args(["keys", "list"]));
        let line = list.lines().find(|line| line.split_whitespace().nth(1) == Some(state)).unwrap();
        line.split_whitespace().next().unwrap().to_owned()
    };
    let (stolen, next) = (kid_in("current"), kid_in("next"));
    let error = fail(mintage(home.path(), &[]).args(["keys", "revoke", "-nonsense"]));
    assert!(error.contains("there is no signing key \"-nonsense\""), "{error}");

    let said = succeed(mintage(home.path(), &[]).args(["keys", "revoke", "--", &stolen]));
    let signs = format!("{next} signs from now on");
    for part in [&format!("revoked {stolen}, which was the current key"), &signs, "log in again", "5 minutes"]
    {
        assert!(said.contains(part), "no {part:?} in {said}");
    }
    assert_eq!(kid_in("current"), next);
    eventually("refusal", async || ada.get("/api/v1/user").await.status == 401).await;
    ada.refresh().await.assert_problem(401, "invalid-refresh-token");
    log_in(&server, "ada@example.com").await.get("/api/v1/user").await.assert(200);
    let error = fail(mintage(home.path(), &[]).args(["keys", "revoke", "--", &stolen]));
    assert!(error.contains("there is no signing key"), "{error}");
}

/// A stranger's account gets the address of the operator, who presses a button in a mail of the
/// product that he expects; the stranger could then undo the change and have an admin.
#[tokio::test]
async fn promoting_an_account_leaves_the_stranger_who_made_it_no_way_in() {
    let (home, mailbox) = (directory(), Mailbox::new());
    let mails = mailbox.directory();
    let server = Server::start(home.path(), &[("MAIL_TRANSPORT", "file"), ("MAIL_DIR", &mails)]);
    let post = async |client: &Client, path: &str, body: serde_json::Value| {
        client.post(&format!("/api/v1/auth/{path}"), &body).await
    };
    let anyone = server.client();
    let (evil, root) = ("mallory@evil.example", "root@corp.example");
    let own = json!({"email": evil, "password": PASSWORD, "username": "mallory", "name": "Mallory"});
    post(&anyone, "register", own).await.assert(201);
    post(&anyone, "confirm/resend", json!({"email": evil})).await.assert(202);
    let proof = json!({"token": mailbox.next(evil).await.token(), "password": PASSWORD});
    post(&anyone, "confirm", proof).await.assert(200);
    let mut stranger = log_in(&server, evil).await;
    post(&stranger, "email/change", json!({"new_email": root, "password": PASSWORD})).await.assert(202);
    post(&anyone, "email/change/confirm", json!({"token": mailbox.next(root).await.token()}))
        .await
        .assert(200);
    let undo = mailbox.next(evil).await;
    post(&stranger, "email/change", json!({"new_email": "m2@evil.example", "password": PASSWORD}))
        .await
        .assert(202);
    let pending = mailbox.next("m2@evil.example").await;
    post(&anyone, "password/forgot", json!({"email": root})).await.assert(202);
    let reset = mailbox.next(root).await;

    let create = ["create-admin", "--email", root];
    let refused = fail(mintage(home.path(), &[]).args(create));
    let today =
        chrono::DateTime::<chrono::Utc>::from(std::time::SystemTime::now()).format("%B %Y").to_string();
    assert!(
        refused.contains(&today) && refused.contains("--force") && refused.contains("undoes"),
        "{refused}"
    );
    stranger.get("/api/v1/user").await.assert(200);
    let promoted = succeed(mintage(home.path(), &[]).args(create).arg("--force"));
    let password = promoted.lines().find_map(|line| line.strip_prefix("password: ")).unwrap();

    for (path, body) in [
        ("email/change/undo", json!({"token": undo.token()})),
        ("email/change/confirm", json!({"token": pending.token()})),
        ("password/reset", json!({"token": reset.token(), "new_password": "the stranger's own"})),
    ] {
        post(&anyone, path, body).await.assert_problem(422, "invalid-code");
    }
    for body in [
        json!({"email": evil, "password": PASSWORD}),
        json!({"email": root, "password": PASSWORD}),
        json!({"username": "mallory", "password": PASSWORD}),
        json!({"username": "mallory", "password": password}),
    ] {
        post(&anyone, "login", body).await.assert_problem(401, "invalid-credentials");
    }
    stranger.refresh().await.assert_problem(401, "invalid-refresh-token");
    eventually("the end of the old session", async || stranger.get("/api/v1/user").await.status == 401).await;
    let mut admin = server.client();
    admin
        .take(&post(&anyone, "login", json!({"email": root, "password": password})).await.assert(200).json());
    let user = admin.get("/api/v1/user").await.assert(200).json();
    assert_eq!((&user["role"], &user["email"]), (&json!("admin"), &json!(root)));
    assert_eq!((&user["name"], &user["username"]), (&json!(null), &json!(null)));
    // The former address is free, and not this account's.
    post(&anyone, "register", json!({"email": evil, "password": PASSWORD})).await.assert(201);
    let id = log_in(&server, evil).await.get("/api/v1/user").await.json()["id"].clone();
    assert_ne!(id, user["id"]);
    // Once promoted, the operator may give another password without --force.
    succeed(mintage(home.path(), &[]).args(create));
}

#[tokio::test]
async fn an_admin_may_have_an_address_that_is_reserved_for_another_account() {
    let (home, mailbox) = (directory(), Mailbox::new());
    let mails = mailbox.directory();
    let server = Server::start(home.path(), &[("MAIL_TRANSPORT", "file"), ("MAIL_DIR", &mails)]);
    let (old, new) = ("root@corp.example", "elsewhere@example.com");
    register(&server, old).await;
    let anyone = server.client();
    anyone.post("/api/v1/auth/confirm/resend", &json!({"email": old})).await.assert(202);
    let proof = json!({"token": mailbox.next(old).await.token(), "password": PASSWORD});
    anyone.post("/api/v1/auth/confirm", &proof).await.assert(200);
    let user = log_in(&server, old).await;
    let change = json!({"new_email": new, "password": PASSWORD});
    user.post("/api/v1/auth/email/change", &change).await.assert(202);
    let proof = json!({"token": mailbox.next(new).await.token()});
    anyone.post("/api/v1/auth/email/change/confirm", &proof).await.assert(200);
    let undo = json!({"token": mailbox.next(old).await.token()});
    let body = json!({"email": old, "password": PASSWORD});
    anyone.post("/api/v1/auth/register", &body).await.assert_problem(409, "email-taken");

    let created = succeed(mintage(home.path(), &[]).args(["create-admin", "--email", old]));
    let id = user.get("/api/v1/user").await.json()["id"].as_str().unwrap().to_owned();
    assert!(created.contains(&format!("the account {id}, which had this address before")), "{created}");
    anyone.post("/api/v1/auth/email/change/undo", &undo).await.assert_problem(422, "invalid-code");
    assert_eq!(user.get("/api/v1/user").await.assert(200).json()["email"], new);
}

#[test]
fn a_bad_password_for_an_admin_is_refused() {
    let database = Database::create();
    let home = directory();
    let settings = [("DATABASE_URL", database.url())];
    let settings: Vec<_> = settings.iter().map(|(name, url)| (*name, url.expose())).collect();
    let mut command = mintage(home.path(), &settings);
    command.args(["create-admin", "--email", "root@example.com", "--password-stdin"]);
    assert!(fail(&mut command).contains("at least 8 characters"));
    let file = home.path().join("password");
    fs::write(&file, "Mintage2026\n").unwrap();
    let error = fail(command.stdin(fs::File::open(file).unwrap()));
    assert!(error.contains("must not be the name or the address of this service"), "{error}");
    let mut command = mintage(home.path(), &settings);
    assert!(fail(command.args(["create-admin", "--email", "nonsense"])).contains("not an e-mail address"));
}

#[test]
fn a_database_that_cannot_be_reached_is_tried_for_a_while() {
    let home = directory();
    let settings = [("DATABASE_URL", "postgres://x:secret@127.0.0.1:1/x"), ("DATABASE_CONNECT_WAIT", "2s")];
    let error = fail(&mut mintage(home.path(), &settings));
    assert!(error.contains("trying again"), "{error}");
    assert!(error.lines().last().unwrap().starts_with("mintage: "), "{error}");
    assert!(!error.contains("secret"), "{error}");
}

#[tokio::test]
async fn migrations_are_run_by_hand_where_that_is_wanted() {
    let database = Database::empty();
    let home = directory();
    let url = database.url();
    let settings = [("DATABASE_URL", url.expose()), ("AUTO_MIGRATE", "false")];
    let error = fail(&mut mintage(home.path(), &settings));
    assert!(error.contains("mintage migrate"), "{error}");

    let applied = succeed(mintage(home.path(), &settings).arg("migrate"));
    let count = applied.lines().filter(|line| line.starts_with("applied ")).count();
    assert!(count >= 3, "{applied}");
    assert!(succeed(mintage(home.path(), &settings).arg("migrate")).contains("nothing to apply"));
    Server::start(home.path(), &settings).client().get("/readyz").await.assert(200);

    let reverted = succeed(mintage(home.path(), &settings).args(["rollback", "--steps", &count.to_string()]));
    assert_eq!(reverted.lines().filter(|line| line.starts_with("reverted ")).count(), count);
    fail(mintage(home.path(), &settings).args(["rollback"]));
    fail(mintage(home.path(), &settings).args(["rollback", "--steps", "0"]));
}

#[test]
fn several_processes_migrate_one_database_without_a_quarrel() {
    let database = Database::empty();
    let home = directory();
    let url = database.url();
    let settings = [("DATABASE_URL", url.expose())];
    let start = || mintage(home.path(), &settings).arg("migrate").stdout(Stdio::piped()).spawn().unwrap();
    let children: Vec<_> = (0..6).map(|_| start()).collect();
    let outputs: Vec<_> = children.into_iter().map(|child| child.wait_with_output().unwrap()).collect();
    assert!(outputs.iter().all(|output| output.status.success()));
    assert_eq!(outputs.iter().filter(|output| stdout(output).contains("applied")).count(), 1);
}

#[tokio::test]
async fn the_secret_key_can_be_rotated_and_a_foreign_one_is_refused() {
    let database = Database::empty();
    let home = directory();
    let url = database.url();
    let (old, new) = ("0123456789abcdefghijklmnopqrstuvwxyz", "zyxwvutsrqponmlkjihgfedcba9876543210");
    let both = format!("{new},{old}");
    let with =
        |key| [("DATABASE_URL", url.expose()), ("PUBLIC_URL", "http://mintage.test"), ("SECRET_KEY", key)];
    let client = {
        let server = Server::start(home.path(), &with(old));
        register(&server, "ada@example.com").await;
        log_in(&server, "ada@example.com").await
    };
    let error = fail(&mut mintage(home.path(), &with(new)));
    assert!(error.contains("another SECRET_KEY"), "{error}");
    {
        let server = Server::start(home.path(), &with(&both));
        client.on(&server.base).get("/api/v1/user").await.assert(200);
    }
    let server = Server::start(home.path(), &with(new));
    client.on(&server.base).get("/api/v1/user").await.assert(200);
}

#[test]
fn bad_settings_are_all_named_and_secrets_are_not() {
    let home = directory();
    let settings = [
        ("BCRYPT_COST", "99"),
        ("BIND", "nowhere"),
        ("SECRET_KEY", "hunter2"),
        ("PROFILE", "production"),
        ("MAIL_TRANSPORT", "log"),
    ];
    let error = fail(mintage(home.path(), &settings).arg("check-config"));
    for name in ["BCRYPT_COST", "BIND", "SECRET_KEY", "DATABASE_URL", "PUBLIC_URL", "MAIL_TRANSPORT"] {
        assert!(error.contains(name), "{name} is missing in: {error}");
    }
    assert!(!error.contains("hunter2"));
    let key = "0123456789abcdefghijklmnopqrstuvwxyz";
    let shown = succeed(mintage(home.path(), &[("SECRET_KEY", key)]).arg("check-config"));
    assert!(shown.contains("usable") && !shown.contains(key));
}

#[test]
fn settings_are_read_from_a_dotenv_file_and_the_environment_wins() {
    let home = directory();
    fs::write(home.path().join(".env"), "COINS_COUNT=7\nCOINS_CURRENCIES=USD\n").unwrap();
    let shown = succeed(mintage(home.path(), &[("COINS_COUNT", "9")]).arg("check-config"));
    assert!(shown.contains("count: 9") && shown.contains(r#""USD""#), "{shown}");
}

#[test]
fn a_dotenv_file_of_another_directory_is_not_read() {
    let home = directory();
    let inner = home.path().join("inner");
    fs::create_dir(&inner).unwrap();
    fs::write(home.path().join(".env"), "COINS_COUNT=7\n").unwrap();
    assert!(succeed(mintage(&inner, &[]).arg("check-config")).contains("count: 20"));
    assert!(fail(mintage(&inner, &[("PROFILE", "")]).arg("check-config")).contains("PROFILE"));
}

#[test]
fn the_document_is_printed_without_any_setting() {
    let home = directory();
    let printed = succeed(mintage(home.path(), &[("BIND", "nowhere")]).arg("openapi"));
    let committed = include_str!("../../openapi/openapi.json");
    assert!(printed == committed, "run `cargo run -- openapi > openapi/openapi.json`");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_log_holds_no_secret_and_no_address() {
    let database = Database::create();
    let home = directory();
    let url = database.url();
    let log = fs::File::create(home.path().join("log")).unwrap();
    let refusal = Manner::Refuse("RCPT", "550 <ada@example.com>: see https://example.com/#token=eyJ");
    let smtp = SmtpServer::start(Encryption::None, refusal);
    let port = smtp.port.to_string();
    let mut settings = smtp_settings(url.expose(), &port).to_vec();
    settings.extend([("LOG_LEVEL", "debug"), ("LOG_FORMAT", "json"), ("REQUIRE_CONFIRMATION", "off")]);
    let mut server = Server::start_logging_to(log.into(), home.path(), &settings);
    send_test_mail(home.path(), url.expose());
    register(&server, "ada@example.com").await;
    let mut client = log_in(&server, "ada@example.com").await;
    client.refresh().await.assert(200);
    client.refresh_with("nonsense").await.assert(401);
    client.post_empty("/api/v1/auth/logout").await.assert(204);
    let forgotten = json!({"email": "ada@example.com"});
    client.post("/api/v1/auth/password/forgot", &forgotten).await.assert(202);
    let path = home.path().join("log");
    let refused = async || fs::read_to_string(&path).unwrap().contains("a job failed");
    eventually("the refusal", refused).await;
    assert!(server.stop().success());
    let log = fs::read_to_string(path).unwrap();
    assert!(log.lines().all(|line| serde_json::from_str::<serde_json::Value>(line).is_ok()), "{log}");
    assert!(log.contains("/api/v1/auth/login") && log.contains("request_id"));
    for secret in [PASSWORD, "ada@example", "eyJ", "$2b$", "127.0.0.1:5", url.expose()] {
        assert!(!log.contains(secret), "{secret} is in the log");
    }
}

#[tokio::test]
async fn sigterm_lets_a_request_in_flight_finish() {
    let database = Database::create();
    let home = directory();
    let url = database.url();
    let mut server = Server::start(home.path(), &[("DATABASE_URL", url.expose())]);
    let address = server.base.strip_prefix("http://").unwrap().to_owned();
    let body = json!({"email": "ada@example.com", "password": PASSWORD}).to_string();
    let head = format!(
        "POST /api/v1/auth/register HTTP/1.1\r\nhost: {address}\r\ncontent-type: application/json\r\n\
         content-length: {}\r\nexpect: 100-continue\r\nconnection: close\r\n\r\n",
        body.len()
    );
    let mut request = TcpStream::connect(&address).unwrap();
    request.set_read_timeout(Some(BOUND)).unwrap();
    request.write_all(head.as_bytes()).unwrap();
    let mut go_on = [0; 25];
    request.read_exact(&mut go_on).unwrap();
    assert!(go_on.starts_with(b"HTTP/1.1 100 Continue"), "it waits for the body");
    server.signal(Signal::SIGTERM);
    eventually("the listener's end", async || TcpStream::connect(&address).is_err()).await;
    request.write_all(body.as_bytes()).unwrap();
    let mut answer = String::new();
    request.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 201"), "{answer}");
    assert!(server.wait().success());
}

#[tokio::test]
async fn draining_says_not_ready_before_the_listener_closes() {
    let database = Database::create();
    let home = directory();
    let url = database.url();
    let mut server = Server::start(home.path(), &[("DATABASE_URL", url.expose()), ("DRAIN_DELAY", "10s")]);
    let client = server.client();
    client.get("/readyz").await.assert(200);
    server.signal(Signal::SIGTERM);
    let give_up_at = Instant::now() + BOUND;
    loop {
        let answer = client.get("/readyz").await;
        if answer.status == 503 {
            assert_eq!(answer.header("connection"), "close");
            break;
        }
        assert!(Instant::now() < give_up_at);
    }
    assert!(server.wait().success());
}

#[tokio::test]
async fn https_is_served_with_a_certificate() {
    let database = Database::create();
    let home = directory();
    let url = database.url();
    let pair = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    fs::write(home.path().join("cert.pem"), pair.cert.pem()).unwrap();
    fs::write(home.path().join("key.pem"), pair.signing_key.serialize_pem()).unwrap();
    let tls = [("DATABASE_URL", url.expose()), ("TLS_CERT", "cert.pem"), ("TLS_KEY", "key.pem")];
    let server = Server::start(home.path(), &tls);
    let port = server.base.rsplit(':').next().unwrap();
    let root = reqwest::Certificate::from_pem(pair.cert.pem().as_bytes()).unwrap();
    let http = reqwest::Client::builder().tls_certs_only([root]).no_proxy().build().unwrap();
    let answer = http.get(format!("https://localhost:{port}/healthz")).send().await.unwrap();
    assert_eq!(answer.status(), 200);
    assert!(answer.headers().contains_key("strict-transport-security"));

    let error = fail(&mut mintage(home.path(), &[tls[0], tls[1], ("TLS_KEY", "missing.pem")]));
    assert!(error.contains("TLS_KEY"), "{error}");
}

/// Has a mail sent by whatever server runs on this database.
fn send_test_mail(home: &Path, url: &str) {
    let mut command = mintage(home, &[("DATABASE_URL", url)]);
    let said = succeed(command.args(["send-test-mail", "--to", "ada@example.com"]));
    assert!(said.contains("a running server sends"), "{said}");
}

fn smtp_settings<'a>(url: &'a str, port: &'a str) -> [(&'a str, &'a str); 5] {
    [
        ("DATABASE_URL", url),
        ("MAIL_SERVER", "127.0.0.1"),
        ("MAIL_PORT", port),
        ("MAIL_SECURITY", "none"),
        ("MAIL_FROM", "no-reply@mintage.test"),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kill_9_between_enqueueing_and_sending_loses_no_mail() {
    let (database, home) = (Database::create(), directory());
    let url = database.url();
    // Nobody runs when it is enqueued.
    send_test_mail(home.path(), url.expose());
    let smtp = SmtpServer::start(Encryption::None, Manner::Silence);
    let port = smtp.port.to_string();
    let settings = smtp_settings(url.expose(), &port);
    let mut server = Server::start(home.path(), &settings);
    eventually("the attempt", async || smtp.connections() == 1).await;
    server.kill();
    smtp.behave(Manner::Accept);
    // Instead of waiting for the end of the lease.
    let mut conn = database.connect();
    let over = "UPDATE jobs SET due_at = now() WHERE kind = 'test-mail' AND state = 'running'";
    assert_eq!(diesel::RunQueryDsl::execute(diesel::sql_query(over), &mut conn).unwrap(), 1);
    let mut server = Server::start(home.path(), &settings);
    eventually("the mail", async || smtp.received().len() == 1).await;
    assert!(server.stop().success());
    assert_eq!(smtp.received().len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sigterm_lets_a_job_finish() {
    let (database, home) = (Database::create(), directory());
    let url = database.url();
    let smtp = SmtpServer::start(Encryption::None, Manner::Hold);
    let port = smtp.port.to_string();
    let mut server = Server::start(home.path(), &smtp_settings(url.expose(), &port));
    send_test_mail(home.path(), url.expose());
    eventually("the attempt", async || smtp.connections() == 1).await;
    server.signal(Signal::SIGTERM);
    let gone = async || TcpStream::connect(server.base.trim_start_matches("http://")).is_err();
    eventually("the listener's end", gone).await;
    assert!(smtp.received().is_empty());
    smtp.behave(Manner::Accept);
    assert!(server.wait().success());
    assert_eq!(smtp.received().len(), 1);
    let left = diesel::RunQueryDsl::execute(
        diesel::sql_query("DELETE FROM jobs WHERE kind = 'test-mail'"),
        &mut database.connect(),
    );
    assert_eq!(left.unwrap(), 0, "the job was ended before the server");
}

#[tokio::test]
async fn without_smtp_settings_mails_are_printed() {
    let home = directory();
    let server = Server::start(home.path(), &[]);
    let mut command = mintage(home.path(), &[]);
    succeed(command.args(["send-test-mail", "--to", "ada@example.com"]));
    let mut printed = String::new();
    while !printed.contains("They do.") {
        printed += &server.lines.recv_timeout(BOUND).expect("the mail");
        printed.push('\n');
    }
    assert!(
        printed.contains("mail to ada@example.com") && printed.contains("Subject: Test mail"),
        "{printed}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_mail_server_is_checked_on_request() {
    let home = directory();
    let smtp = SmtpServer::start(Encryption::StartTls, Manner::Accept);
    let (port, ca) = (smtp.port.to_string(), home.path().join("ca.pem"));
    fs::write(&ca, &smtp.ca).unwrap();
    let check = |settings: &[(&str, &str)]| {
        let mut all = smtp_settings("", &port).to_vec();
        all.extend([("MAIL_SECURITY", "starttls"), ("MAIL_CA", ca.to_str().unwrap())]);
        all.extend([("MAIL_USERNAME", "ada"), ("MAIL_PASSWORD", "s3cret")]);
        all.extend(settings);
        let mut command = mintage(home.path(), &all);
        run(command.args(["check-config", "--smtp"]))
    };
    let well = check(&[]);
    assert!(well.status.success() && stdout(&well).contains("the mail server answers"), "{}", stderr(&well));

    let one_line = |output: &Output, part: &str| {
        assert!(!output.status.success());
        let error = stderr(output);
        assert!(error.lines().count() == 1 && error.contains(part), "{error}");
        assert!(!error.contains("s3cret") && !stdout(output).contains("s3cret"));
    };
    one_line(&check(&[("MAIL_CA", "")]), "certificate");
    one_line(&check(&[("MAIL_CA", "missing.pem")]), "MAIL_CA");
    let missing = [("MAIL_CA", "missing.pem"), ("MAIL_SECURITY", "starttls")];
    let all = [smtp_settings("", &port).as_slice(), &missing].concat();
    assert!(fail(mintage(home.path(), &all).arg("check-config")).contains("MAIL_CA"));
    one_line(&check(&[("MAIL_PORT", "1")]), "Connection refused");
    one_line(&check(&[("MAIL_SERVER", ""), ("MAIL_TRANSPORT", "log")]), "MAIL_SERVER");
    smtp.behave(Manner::Refuse("AUTH", "535 5.7.8 not you"));
    one_line(&check(&[]), "cannot log in");
    smtp.behave(Manner::Silence);
    one_line(&check(&[]), "in time");
}
