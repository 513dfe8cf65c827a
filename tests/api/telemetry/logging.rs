//! A log that cannot be written costs log lines and nothing else; and what the log must not hold.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, BufRead, BufReader, PipeReader, PipeWriter, Write, pipe},
    net::TcpListener,
    path::Path,
    process::Stdio,
    time::Duration,
};

use diesel::{RunQueryDsl, sql_query};
use serde_json::json;
use tokio::time::{self, Instant};

use crate::support::{
    Client, Database, Mailbox, PASSWORD, PRODUCTION, PUBLIC_URL, Response, SECRET_KEY,
    binary::{Server, directory, mintage, run, send_test_mail, smtp_settings, stderr, succeed},
    eventually,
    smtp::{Encryption, Manner, SmtpServer},
};

/// Server, database and mails of one test.
struct Site {
    database: Database,
    mailbox: Mailbox,
    home: tempfile::TempDir,
}

impl Site {
    fn new() -> Self {
        Self { database: Database::create(), mailbox: Mailbox::new(), home: directory() }
    }

    fn server(&self, log: Stdio, settings: &[(&str, &str)]) -> Server {
        let (url, mails) = (self.database.url(), self.mailbox.directory());
        let own = [
            ("DATABASE_URL", url.expose()),
            ("SECRET_KEY", SECRET_KEY),
            ("PUBLIC_URL", PUBLIC_URL),
            ("MAIL_TRANSPORT", "file"),
            ("MAIL_DIR", &mails),
        ];
        Server::start_logging_to(log, self.home.path(), &[&own, settings].concat())
    }

    fn send_test_mail(&self) {
        let url = self.database.url();
        let mut command = mintage(self.home.path(), &[("DATABASE_URL", url.expose())]);
        succeed(command.args(["send-test-mail", "--to", "ada@example.com"]));
    }
}

/// Asserts that the server works with this log as with any other: each request is answered
/// while PostgreSQL is away, and afterwards the server receives log-outs and sends mails.
async fn nothing_but_the_log_is_lost(log: impl Into<Stdio>, settings: &[(&str, &str)]) {
    let site = Site::new();
    let (mut deaf, other) = (site.server(log.into(), settings), site.server(Stdio::null(), &[]));
    let body = json!({"email": "ada@example.com", "password": PASSWORD});
    let mut user = other.client();
    user.post("/api/v1/auth/register", &body).await.assert(201);
    user.take(&user.post("/api/v1/auth/login", &body).await.assert(200).json());
    let elsewhere = user.on(&deaf.base);
    elsewhere.get("/api/v1/user").await.assert(200);

    site.database.go_away();
    let away_until = Instant::now() + Duration::from_secs(3);
    let ask = async |client: &Client| {
        let mut refused = 0;
        while Instant::now() < away_until {
            // A dropped connection is a panic in here.
            client.get("/healthz").await.assert(200);
            client.get("/api/v1/coins").await.assert(200);
            client.get("/api/v1/user").await.assert_problem(503, "unavailable");
            refused += 1;
        }
        refused
    };
    let clients = [elsewhere.clone(), elsewhere.clone(), elsewhere.clone()];
    let refused: i32 = futures_util::future::join_all(clients.iter().map(ask)).await.iter().sum();
    assert!(refused > 3, "the outage was seen");

    site.database.come_back();
    for client in [&user, &elsewhere] {
        eventually("recovery", async || client.get("/api/v1/user").await.status == 200).await;
    }
    user.post_empty("/api/v1/auth/logout").await.assert(204);
    eventually("refusal elsewhere", async || elsewhere.get("/api/v1/user").await.status == 401).await;
    drop(other);
    site.send_test_mail();
    site.mailbox.next("ada@example.com").await;
    let stopping = Instant::now();
    assert!(deaf.stop().success());
    assert!(stopping.elapsed() < Duration::from_secs(30), "the end does not wait for a reader");
}

fn without_a_reader() -> impl Into<Stdio> {
    pipe().expect("a pipe").1
}

fn full_disk() -> File {
    OpenOptions::new().write(true).open("/dev/full").expect("a device")
}

#[tokio::test]
async fn a_log_whose_reader_has_gone_costs_log_lines_only() {
    nothing_but_the_log_is_lost(without_a_reader(), &[]).await;
}

#[tokio::test]
async fn a_log_whose_reader_has_gone_costs_log_lines_only_with_all_details() {
    nothing_but_the_log_is_lost(without_a_reader(), &[("LOG_LEVEL", "debug")]).await;
}

#[tokio::test]
async fn a_log_on_a_full_disk_costs_log_lines_only() {
    nothing_but_the_log_is_lost(full_disk(), &[("LOG_FORMAT", "json")]).await;
}

#[tokio::test]
async fn a_log_that_is_not_read_costs_log_lines_only() {
    let (_unread, log) = pipe().expect("a pipe");
    fill(&log);
    nothing_but_the_log_is_lost(log, &[("LOG_LEVEL", "debug")]).await;
}

/// Reads until a line contains `part`.
fn line_with(log: &mut impl BufRead, part: &str) -> String {
    let mut line = String::new();
    while !line.contains(part) {
        line.clear();
        assert!(log.read_line(&mut line).expect("text") > 0, "the log ends without {part}");
    }
    line
}

async fn ask(client: &Client, times: usize) {
    let requests = (0..times).map(|_| client.get("/healthz"));
    let answered = futures_util::future::join_all(requests);
    let answers: Vec<Response> = time::timeout(Duration::from_mins(2), answered).await.expect("answers");
    assert!(answers.iter().all(|answer| answer.status == 200));
}

#[tokio::test]
async fn a_log_reader_that_returns_sees_how_many_lines_were_dropped() {
    let (site, (unread, log)) = (Site::new(), pipe().expect("a pipe"));
    let metrics = free_address();
    let settings = [("LOG_LEVEL", "debug"), ("LOG_FORMAT", "json"), ("METRICS_BIND", &*metrics)];
    let mut server = site.server(log.into(), &settings);
    let client = server.client();
    let dropped = async || {
        let answer = reqwest::get(format!("http://{metrics}/metrics")).await.expect("metrics");
        let text = answer.text().await.expect("text");
        let name = "mintage_log_lines_dropped_total ";
        let line = text.lines().find_map(|line| line.strip_prefix(name)).expect("the count");
        line.parse::<u64>().expect("a number")
    };
    assert_eq!(dropped().await, 0);
    // 64 KiB fit into the pipe and twice 256 KiB into the process.
    while dropped().await == 0 {
        ask(&client, 200).await;
    }
    let mut log: BufReader<PipeReader> = BufReader::new(unread);
    let (reported, report) = tokio::sync::oneshot::channel();
    let reading = tokio::task::spawn_blocking(move || {
        let _ = reported.send(line_with(&mut log, "log lines were dropped"));
        io::read_to_string(log).expect("text")
    });
    let report: serde_json::Value = serde_json::from_str(&report.await.expect("a line")).expect("JSON");
    assert!(report["lines"].as_u64().is_some_and(|lines| lines > 0), "{report}");
    let status = server.stop();
    let rest = reading.await.expect("the rest of the log");
    assert!(status.success(), "{status}: {rest}");
}

/// The log lines of three seconds of an outage.
#[tokio::test]
async fn a_repeated_message_is_logged_once_a_second_with_the_number_left_out() {
    let site = Site::new();
    let path = site.home.path().join("log");
    let settings = [("LOG_FORMAT", "json")];
    let mut server = site.server(File::create(&path).expect("a file").into(), &settings);
    let client = server.client();
    let body = json!({"email": "ada@example.com", "password": PASSWORD});
    site.database.go_away();
    let (began, mut refused) = (Instant::now(), 0);
    while began.elapsed() < Duration::from_secs(3) {
        let logins = (0..16).map(|_| client.post("/api/v1/auth/login", &body));
        for answer in futures_util::future::join_all(logins).await {
            answer.assert_problem(503, "unavailable");
            refused += 1;
        }
    }
    site.database.come_back();
    assert!(server.stop().success());
    let seconds = began.elapsed().as_secs() + 1;
    let log = fs::read_to_string(&path).expect("the log");
    let lines: Vec<serde_json::Value> =
        log.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let answered: Vec<_> = lines.iter().filter(|line| line["message"] == "answered 503").collect();
    let mut by_cause = std::collections::HashMap::<String, u64>::new();
    for line in &answered {
        *by_cause.entry(line["cause"].to_string()).or_default() += 1;
    }
    assert!(!by_cause.is_empty() && by_cause.values().all(|count| *count <= seconds), "{by_cause:?}");
    let left_out: u64 = answered.iter().filter_map(|line| line["left_out"].as_u64()).sum();
    assert!(left_out > 0 && left_out + answered.len() as u64 <= refused, "{left_out} of {refused}");
}

fn free_address() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("an address").to_string()
}

#[tokio::test]
async fn a_start_without_usable_stdout_and_stderr_serves() {
    let (_unread, unread_log) = pipe().expect("a pipe");
    let unread = || Stdio::from(unread_log.try_clone().expect("a pipe"));
    fill(&unread_log);
    let outputs: [(Stdio, Stdio); 3] = [
        (without_a_reader().into(), without_a_reader().into()),
        (full_disk().into(), full_disk().into()),
        (unread(), unread()),
    ];
    for (stdout, log) in outputs {
        let (database, home, address) = (Database::create(), directory(), free_address());
        let url = database.url();
        let settings = [("DATABASE_URL", url.expose()), ("BIND", &address)];
        let mut command = mintage(home.path(), &settings);
        let mut child = command.stdout(stdout).stderr(log).spawn().expect("a process");
        let serves = async || {
            assert!(child.try_wait().expect("a status").is_none(), "it has ended");
            reqwest::get(format!("http://{address}/readyz")).await.is_ok_and(|answer| answer.status() == 200)
        };
        eventually("readiness", serves).await;
        // Without a mail server mails are printed, which must not stop anything either.
        let mut send = mintage(home.path(), &settings);
        succeed(send.args(["send-test-mail", "--to", "ada@example.com"]));
        let begun = "UPDATE jobs SET attempts = attempts WHERE kind = 'test-mail' AND attempts > 0";
        let mut conn = database.connect();
        eventually("the attempt", async || sql_query(begun).execute(&mut conn).expect("jobs") == 1).await;
        let pid = nix::unistd::Pid::from_raw(child.id().cast_signed());
        nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM).expect("a signal");
        let mut ended = None;
        eventually("the end", async || {
            ended = child.try_wait().expect("a status");
            ended.is_some()
        })
        .await;
        assert!(ended.expect("just seen").success());
    }
}

/// Writes until the pipe is full, which is at 64 KiB.
fn fill(pipe: &PipeWriter) {
    let mut pipe = pipe.try_clone().expect("a pipe");
    pipe.write_all(&vec![b'x'; 64 * 1024]).expect("room");
}

fn with_outputs(home: &Path, arguments: &[&str], stdout: Stdio) -> (bool, String) {
    let mut command = mintage(home, &[]);
    let child = command.args(arguments).stdout(stdout).stderr(Stdio::piped()).spawn().expect("a process");
    let output = child.wait_with_output().expect("the end");
    (output.status.success(), stderr(&output))
}

fn json_lines(text: &str) -> Vec<serde_json::Value> {
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("no JSON: {line}")))
        .collect()
}

#[tokio::test]
async fn with_json_every_line_of_a_server_is_json_from_the_first_to_the_last() {
    let site = Site::new();
    let path = site.home.path().join("log");
    let settings = [("LOG_FORMAT", "json"), ("DATABSE_URL", "x"), ("PUBLIC_URL", "http://localhost:8080")];
    let mut server = site.server(File::create(&path).expect("a file").into(), &settings);
    let welcome = json_lines(&server.welcome);
    assert_eq!((welcome.len(), &welcome[0]["message"]), (1, &json!("serving")));
    assert_eq!((&welcome[0]["address"], &welcome[0]["level"]), (&json!(server.base), &json!("INFO")));
    let port = server.base.rsplit(':').next().expect("a port");
    assert_eq!(welcome[0]["mailbox"], format!("http://localhost:{port}/dev/mails"));
    assert!(server.stop().success());
    assert_eq!(server.lines.iter().collect::<Vec<_>>(), [""; 0]);
    let log = json_lines(&fs::read_to_string(&path).expect("the log"));
    assert!(
        log[0]["message"].as_str().expect("a text").starts_with("DATABSE_URL is not a setting"),
        "{log:?}"
    );

    // A start that fails, too, once the settings are known.
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let (bind, url) = (taken.local_addr().expect("an address").to_string(), site.database.url());
    let key = ("SECRET_KEY", SECRET_KEY);
    let settings = [("LOG_FORMAT", "json"), ("BIND", &*bind), ("DATABASE_URL", url.expose()), key];
    let output = run(&mut mintage(site.home.path(), &settings));
    let last = json_lines(&stderr(&output)).pop().expect("a line");
    assert_eq!((&last["level"], &last["message"]), (&json!("ERROR"), &json!("the server has ended")));
    assert!(!output.status.success() && last["error"].as_str().expect("a text").contains(&bind), "{last}");
}

/// Serves three requests and returns the lines about requests in the log.
async fn requests_in_log(settings: &[(&str, &str)]) -> Vec<serde_json::Value> {
    let site = Site::new();
    let path = site.home.path().join("log");
    let settings = [settings, &[("LOG_FORMAT", "json")]].concat();
    let mut server = site.server(File::create(&path).expect("a file").into(), &settings);
    let client = server.client();
    client.get("/healthz").await.assert(200);
    client.get("/nope?token=canary").await.assert(404);
    client.get(&format!("/{}", "a".repeat(1000))).await.assert(404);
    assert!(server.stop().success());
    let log = fs::read_to_string(&path).expect("the log");
    assert!(!log.contains("canary") && !log.contains("127.0.0.1") && !log.contains("Actix"), "{log}");
    json_lines(&log).into_iter().filter(|line| line["message"] == "request").collect()
}

#[tokio::test]
async fn development_logs_a_line_for_each_request_without_its_query() {
    let lines = requests_in_log(&[]).await;
    let seen: Vec<_> =
        lines.iter().map(|line| (line["path"].as_str().unwrap().len(), &line["status"])).collect();
    assert_eq!(seen, [(8, &json!(200)), (5, &json!(404)), (200, &json!(404))]);
    let line = &lines[1];
    assert_eq!(
        (&line["method"], &line["path"], &line["level"]),
        (&json!("GET"), &json!("/nope"), &json!("INFO"))
    );
    assert!(line["ms"].is_number() && line["request_id"].as_str().unwrap().len() == 32, "{line}");
}

#[tokio::test]
async fn production_logs_requests_at_debug_only() {
    assert_eq!(requests_in_log(PRODUCTION).await, [json!(null); 0]);
    let debug = [PRODUCTION, &[("LOG_LEVEL", "debug")]].concat();
    let names = |line: &serde_json::Value| line.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    let (lines, in_development) = (requests_in_log(&debug).await, requests_in_log(&[]).await);
    assert_eq!(lines.len(), 3);
    assert_eq!(
        lines.iter().map(names).collect::<Vec<_>>(),
        in_development.iter().map(names).collect::<Vec<_>>()
    );
}

#[test]
fn a_command_whose_reader_has_gone_ends_quietly() {
    let home = directory();
    for arguments in [["openapi"], ["check-config"]] {
        let (success, said) = with_outputs(home.path(), &arguments, without_a_reader().into());
        assert!(success && !said.contains("panicked") && !said.contains("mintage:"), "{said}");
    }
}

#[test]
fn a_command_fails_when_the_disk_is_too_full_for_its_result() {
    let home = directory();
    let (success, said) = with_outputs(home.path(), &["openapi"], full_disk().into());
    assert!(!success, "{said}");
    assert_eq!(said, "mintage: cannot print the result: No space left on device (os error 28)\n");
}

#[test]
fn the_error_of_a_failed_start_reaches_the_log_without_blocking() {
    let (home, settings) = (directory(), [("BIND", "nonsense")]);
    let output = run(&mut mintage(home.path(), &settings));
    assert!(stderr(&output).starts_with("mintage: ") && stderr(&output).contains("BIND"), "{output:?}");
    let (_unread, log) = pipe().expect("a pipe");
    fill(&log);
    let began = std::time::Instant::now();
    let mut command = mintage(home.path(), &settings);
    let status = command.stdout(Stdio::null()).stderr(log).status().expect("the end");
    assert!(!status.success() && began.elapsed() < Duration::from_secs(30));
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
    server.register("ada@example.com").await;
    let mut client = server.log_in("ada@example.com").await;
    client.refresh().await.assert(200);
    client.refresh_with("nonsense").await.assert(401);
    client.post_empty("/api/v1/auth/logout").await.assert(204);
    let forgotten = json!({"email": "ada@example.com"});
    client.post("/api/v1/auth/password/forgot", &forgotten).await.assert(202);
    let path = home.path().join("log");
    let refused = async || fs::read_to_string(&path).unwrap().contains("job failed");
    eventually("the refusal", refused).await;
    assert!(server.stop().success());
    let log = fs::read_to_string(path).unwrap();
    assert!(log.lines().all(|line| serde_json::from_str::<serde_json::Value>(line).is_ok()), "{log}");
    assert!(log.contains("/api/v1/auth/login") && log.contains("request_id"));
    for secret in [PASSWORD, "ada@example", "eyJ", "$2b$", "127.0.0.1:5", url.expose()] {
        assert!(!log.contains(secret), "{secret} is in the log");
    }
}
