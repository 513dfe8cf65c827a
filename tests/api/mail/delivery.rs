//! Delivery of mails through the queue to a mail server, and its failures.

use std::{fs, time::Duration};

use mintage::{
    clock::Clock,
    config::{Config, Specs},
    jobs::{self, Running},
    mail::{Action, Letter, Mailer, TestMail},
};
use uuid::Uuid;

use crate::support::{
    App, Mailbox, eventually, noted,
    smtp::{Encryption, Manner, Received, SmtpServer},
};

const ADA: &str = "ada@example.com";

/// An app that sends to this server.
fn app(server: &SmtpServer, encryption: Encryption, settings: &[(&str, &str)]) -> App {
    app_on(server.port, encryption, settings)
}

fn app_on(port: u16, encryption: Encryption, settings: &[(&str, &str)]) -> App {
    let security = match encryption {
        Encryption::None => "none",
        Encryption::StartTls => "starttls",
        Encryption::Tls => "tls",
    };
    let port = port.to_string();
    let mut all = vec![
        ("MAIL_TRANSPORT", "smtp"),
        ("MAIL_SERVER", "127.0.0.1"),
        ("MAIL_PORT", port.as_str()),
        ("MAIL_SECURITY", security),
        ("MAIL_FROM", "no-reply@mintage.test"),
        ("PRODUCT_NAME", "Ācme"),
        ("REQUIRE_CONFIRMATION", "off"),
    ];
    all.extend(settings);
    App::with(&all)
}

fn send(app: &App) -> Uuid {
    jobs::enqueue(&mut app.sql(), &TestMail { to: ADA.into() }, app.clock.now()).unwrap()
}

async fn arrival(server: &SmtpServer, count: usize) -> Vec<Received> {
    eventually("the mail", async || server.received().len() >= count).await;
    server.received()
}

/// Waits for the mail to Ada among those to others, such as users who register.
async fn arrival_for_ada(server: &SmtpServer) {
    eventually("the mail", async || server.received().iter().any(|received| received.to == ADA)).await;
}

fn row(app: &App, id: Uuid) -> Option<noted::Job> {
    noted::job(&mut app.sql(), id)
}

/// Waits until so many attempts have failed, and returns the row.
async fn failure(app: &App, id: Uuid, attempts: i32) -> noted::Job {
    let mut found = None;
    eventually("the failed attempt", async || {
        found = row(app, id).filter(|row| row.attempts >= attempts && row.state != "running");
        found.is_some()
    })
    .await;
    found.unwrap()
}

fn wait_for_retry(app: &App, row: &noted::Job) {
    app.clock.advance((row.due_at - app.clock.now()).to_std().unwrap_or_default());
}

#[tokio::test]
async fn a_mail_arrives_over_each_kind_of_connection() {
    for encryption in [Encryption::None, Encryption::StartTls, Encryption::Tls] {
        let server = SmtpServer::start(encryption, Manner::Accept);
        let directory = tempfile::tempdir().unwrap();
        let ca = directory.path().join("ca.pem");
        fs::write(&ca, &server.ca).unwrap();
        let login =
            [("MAIL_USERNAME", "mintage"), ("MAIL_PASSWORD", "s3cret"), ("MAIL_CA", ca.to_str().unwrap())];
        let app = app(&server, encryption, &login);
        let id = send(&app);
        let received = arrival(&server, 1).await.remove(0);
        assert_eq!(received.encrypted, encryption != Encryption::None, "{encryption:?}");
        assert_eq!(received.login, Some(("mintage".into(), "s3cret".into())));
        assert_eq!((received.to.as_str(), received.mail.to.as_str()), (ADA, ADA));
        assert_eq!(received.mail.from, "no-reply@mintage.test");
        assert_eq!(received.mail.subject, "Test mail from Ācme");
        assert_eq!(received.mail.message_id, format!("{id}@mintage.test"));
        assert!(received.mail.text.contains("Ācme can send mails to this address."));
        assert!(received.mail.html.contains("Ācme can send mails to this address."));
    }
}

#[tokio::test]
async fn an_untrusted_certificate_is_refused() {
    for encryption in [Encryption::StartTls, Encryption::Tls] {
        let server = SmtpServer::start(encryption, Manner::Accept);
        let app = app(&server, encryption, &[]);
        let row = failure(&app, send(&app), 1).await;
        assert_eq!(row.state, "waiting");
        assert!(row.last_error.unwrap().contains("certificate"));
        assert!(server.received().is_empty());
    }
}

#[tokio::test]
async fn without_starttls_no_mail_is_sent() {
    let server = SmtpServer::start(Encryption::None, Manner::Accept);
    let app = app(&server, Encryption::StartTls, &[]);
    let row = failure(&app, send(&app), 1).await;
    assert!(row.last_error.unwrap().contains("STARTTLS"));
    assert!(server.received().is_empty());
}

#[tokio::test]
async fn one_connection_carries_several_mails() {
    let server = SmtpServer::start(Encryption::None, Manner::Accept);
    let app = app(&server, Encryption::None, &[]);
    for count in 1..=3 {
        send(&app);
        arrival(&server, count).await;
        app.idle().await;
    }
    assert_eq!((server.connections(), server.goodbyes()), (1, 0));
    eventually("its end when there is nothing more to send", async || server.goodbyes() == 1).await;
}

#[tokio::test]
async fn while_the_server_is_away_or_refuses_for_now_mails_wait_and_then_arrive_once() {
    let socket = SmtpServer::reserve();
    let port = socket.local_addr().unwrap().port();
    let app = app_on(port, Encryption::None, &[]);
    let id = send(&app);
    let refused = failure(&app, id, 1).await;
    assert!(refused.last_error.as_ref().unwrap().contains("refused"), "{refused:?}");

    let server = SmtpServer::start_on(socket, Encryption::None, Manner::Accept);
    let mut attempts = 1;
    let mut last = refused;
    for manner in [
        Manner::Refuse("EHLO", "421 busy"),
        Manner::Refuse("MAIL", "451 4.7.1 greylisted, ada@example.com"),
        Manner::Refuse("RCPT", "450 later"),
        Manner::Refuse("END", "452 disk full"),
    ] {
        server.behave(manner);
        wait_for_retry(&app, &last);
        attempts += 1;
        last = failure(&app, id, attempts).await;
        assert_eq!(last.state, "waiting", "{last:?}");
        assert!(!last.last_error.as_ref().unwrap().contains('@'));
    }
    assert!(server.received().is_empty());
    server.behave(Manner::Accept);
    wait_for_retry(&app, &last);
    arrival(&server, 1).await;
    app.idle().await;
    assert_eq!(server.received().len(), 1);
}

#[tokio::test]
async fn a_mail_refused_permanently_is_dead_after_three_attempts() {
    let refusal = "550 5.1.1 <ada@example.com>: no such user";
    let server = SmtpServer::start(Encryption::None, Manner::Refuse("RCPT", refusal));
    let app = app(&server, Encryption::None, &[]);
    let admin = app.admin().await;
    let id = send(&app);
    for attempt in 1..=2 {
        let row = failure(&app, id, attempt).await;
        assert_eq!(row.state, "waiting");
        wait_for_retry(&app, &row);
    }
    let row = failure(&app, id, 3).await;
    let error = row.last_error.unwrap();
    assert_eq!(row.state, "dead");
    assert!(error.contains("550") && error.contains("5.1.1 [address] no such user"), "{error}");
    let shown = admin.get("/api/v1/admin/jobs?state=dead").await.assert(200);
    assert!(!shown.text().contains(ADA), "{}", shown.text());

    // A retry gives it as many attempts as a new job has.
    let retry = format!("/api/v1/admin/jobs/{id}/retry");
    admin.post_empty(&retry).await.assert(200);
    for attempt in 4..=5 {
        let row = failure(&app, id, attempt).await;
        assert_eq!(row.state, "waiting");
        wait_for_retry(&app, &row);
    }
    assert_eq!(failure(&app, id, 6).await.state, "dead");

    server.behave(Manner::Accept);
    admin.post_empty(&retry).await.assert(200);
    arrival_for_ada(&server).await;
}

#[tokio::test]
async fn a_sender_that_the_server_refuses_kills_no_mail() {
    let server = SmtpServer::start(Encryption::None, Manner::Refuse("MAIL", "550 5.7.1 not from there"));
    let app = app(&server, Encryption::None, &[]);
    let id = send(&app);
    for attempt in 1..=4 {
        let row = failure(&app, id, attempt).await;
        assert_eq!(row.state, "waiting", "{row:?}");
        assert!(row.last_error.as_ref().unwrap().contains("MAIL_FROM"), "{row:?}");
        wait_for_retry(&app, &row);
    }
    server.behave(Manner::Accept);
    arrival(&server, 1).await;
}

#[tokio::test]
async fn a_sender_with_an_international_domain_needs_no_smtp_extension() {
    let server = SmtpServer::start(Encryption::None, Manner::Accept);
    let app = app(&server, Encryption::None, &[("MAIL_FROM", "Bücher <no-reply@bücher.example>")]);
    send(&app);
    assert_eq!(arrival(&server, 1).await[0].mail.from, "no-reply@xn--bcher-kva.example");
}

#[tokio::test]
async fn a_wrong_password_for_the_server_kills_no_mail() {
    let server = SmtpServer::start(Encryption::None, Manner::Refuse("AUTH", "535 5.7.8 no"));
    let login = [("MAIL_USERNAME", "mintage"), ("MAIL_PASSWORD", "wr0ng")];
    let app = app(&server, Encryption::None, &login);
    let id = send(&app);
    for attempt in 1..=4 {
        let row = failure(&app, id, attempt).await;
        assert_eq!(row.state, "waiting", "{row:?}");
        assert!(!row.last_error.as_ref().unwrap().contains("wr0ng"));
        wait_for_retry(&app, &row);
    }
}

#[tokio::test]
async fn a_mail_whose_receipt_was_lost_comes_again_under_the_same_id() {
    let server = SmtpServer::start(Encryption::None, Manner::DropAfterData);
    let app = app(&server, Encryption::None, &[]);
    let id = send(&app);
    let row = failure(&app, id, 1).await;
    assert_eq!(row.state, "waiting");
    server.behave(Manner::Accept);
    wait_for_retry(&app, &row);
    let ids: Vec<_> = arrival(&server, 2).await.into_iter().map(|one| one.mail.message_id).collect();
    assert_eq!(ids, vec![format!("{id}@mintage.test"); 2]);
}

#[tokio::test]
async fn a_silent_mail_server_delays_only_its_mail() {
    let server = SmtpServer::start(Encryption::None, Manner::Silence);
    let app = app(&server, Encryption::None, &[]);
    let id = send(&app);
    eventually("the attempt", async || server.connections() == 1).await;
    let user = app.user().await;
    user.get("/api/v1/coins").await.assert(200);
    assert_eq!(row(&app, id).unwrap().state, "running");
    let row = failure(&app, id, 1).await;
    assert!(row.last_error.unwrap().contains("did not answer in time"));
    server.behave(Manner::Accept);
    app.clock.advance(Duration::from_secs(15));
    arrival_for_ada(&server).await;
}

#[tokio::test]
async fn each_mail_can_also_be_written_to_a_file() {
    let app = App::start();
    let id = send(&app);
    let mail = app.mail_to(ADA).await;
    assert_eq!((mail.subject.as_str(), mail.from.as_str()), ("Test mail from Mintage", "no-reply@localhost"));
    assert_eq!(mail.message_id, format!("{id}@localhost"));
    send(&app);
    send(&app);
    assert_eq!(app.mails_to(ADA).await.len(), 2);
    assert!(app.mails_to(ADA).await.is_empty(), "each is read once");
}

#[tokio::test]
async fn nothing_that_a_user_chose_becomes_a_header_on_the_wire() {
    let server = SmtpServer::start(Encryption::None, Manner::Accept);
    let app = app(&server, Encryption::None, &[]);
    for evil in
        ["ada@example.com\r\nRCPT TO:<eve@example.com>", "ada@example.com>,<eve@example.com", "nobody"]
    {
        let id = jobs::enqueue(&mut app.sql(), &TestMail { to: evil.into() }, app.clock.now()).unwrap();
        assert_eq!(failure(&app, id, 1).await.state, "dead", "{evil}");
    }
    assert!(server.received().is_empty());
}

#[tokio::test]
async fn a_letter_has_its_link_and_its_code_in_text_and_html() {
    let mailbox = Mailbox::new();
    let settings = [("MAIL_TRANSPORT", "file".to_owned()), ("MAIL_DIR", mailbox.directory())];
    let lookup = |name: &str| settings.iter().find(|(key, _)| *key == name).map(|(_, value)| value.clone());
    let mailer = Mailer::new(&Config::from_lookup(&lookup, &Specs::default()).unwrap().mail, None).unwrap();
    let letter = Letter {
        subject: "Confirm your address",
        paragraphs: &["Somebody, probably you, registered."],
        action: Some(Action { label: "Confirm", link: "https://app.example.com/confirm#token=a&x=b" }),
        code: Some(("123456", "10 minutes")),
        ..Letter::default()
    };
    let job = Running { id: Uuid::now_v7(), attempt: 1, attempt_in_turn: 1, now: Clock::default().now() };
    mailer.send_letter(&job, ADA, &letter).await.unwrap();
    // As a repeated job does.
    mailer.send_letter(&job, ADA, &letter).await.unwrap();
    let mails = mailbox.unread(ADA);
    assert_eq!(mails.len(), 1);
    assert_eq!(mails[0].link(), "https://app.example.com/confirm#token=a&x=b");
    assert_eq!(mails[0].code(), "123456");
}
