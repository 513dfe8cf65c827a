//! Mails of a server that is killed or stopped, and the commands about mail.

use std::{fs, net::TcpStream, process::Output};

use nix::sys::signal::Signal;

use crate::support::{
    Database,
    binary::{
        BOUND, Server, directory, fail, mintage, run, send_test_mail, smtp_settings, stderr, stdout, succeed,
    },
    eventually,
    smtp::{Encryption, Manner, SmtpServer},
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kill_9_between_enqueueing_and_sending_loses_no_mail() {
    let (database, home) = (Database::create(), directory());
    let url = database.url();
    // No server runs when it is enqueued.
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
