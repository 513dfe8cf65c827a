//! Sends mails by SMTP and keeps a few connections open.
//!
//! lettre's own pool (seen in 0.11) also reuses a connection after a send whose future was dropped while it waited for
//! an answer; the next mail then reads that answer as its own. Here a connection is reused only after a mail was
//! accepted, and every step has a timeout.

use std::{
    fs,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, anyhow};
use lettre::{
    Message,
    address::Envelope,
    transport::smtp::{
        Error,
        authentication::{Credentials, DEFAULT_MECHANISMS},
        client::{AsyncSmtpConnection, Certificate, TlsParameters},
        commands::{Data, Mail, Rcpt},
        extension::{ClientId, Extension, MailParameter, ServerInfo},
        response::Response,
    },
};
use parking_lot::Mutex;
use tokio::time;

use crate::config::{self, MailSecurity, Mask};

/// Time to connect, negotiate TLS and log in.
const CONNECT: Duration = Duration::from_secs(10);
const COMMAND: Duration = Duration::from_secs(10);
/// Time to accept a mail. Servers that scan mails are slow, and a client that does not wait for their answer sends the
/// mail twice (RFC 5321, section 4.5.3.2.6).
const ACCEPT: Duration = Duration::from_mins(2);
/// Time for an idle connection to answer.
const PROBE: Duration = Duration::from_secs(3);
const MAX_IDLE: usize = 4;
/// How long an idle connection is kept, up to twice that.
const IDLE_TIMEOUT: Duration = Duration::from_secs(15);

/// Why a mail was not accepted.
pub(super) enum SmtpRefusal {
    /// This mail: a 5xx, or an address that the server does not support.
    Mail(anyhow::Error),
    /// The server: it is unavailable or refuses our login or sender.
    Server(anyhow::Error),
}

pub(super) struct Smtp {
    settings: config::Smtp,
    /// None: no encryption.
    tls: Option<TlsParameters>,
    hello: ClientId,
    idle: Idle,
    /// Removes the login from the server's texts.
    mask: Mask,
}

type Idle = Arc<Mutex<IdleConnections>>;

/// Connections for the next mails.
#[derive(Default)]
struct IdleConnections {
    /// Each with the time since which it is idle.
    connections: Vec<(AsyncSmtpConnection, Instant)>,
    /// Whether a task closes connections that were idle for too long.
    has_closer: bool,
}

impl Smtp {
    pub fn new(settings: config::Smtp) -> Result<Self> {
        let tls = match settings.security {
            MailSecurity::None => None,
            MailSecurity::StartTls | MailSecurity::Tls => Some(tls(&settings)?),
        };
        let mask = match &settings.login {
            None => Mask::default(),
            Some((user, password)) => {
                // The message of AUTH PLAIN, which some servers repeat in base64 (RFC 4616).
                let plain = format!("\0{user}\0{}", password.expose());
                Mask::new([plain.as_str(), user, password.expose()])
            }
        };
        Ok(Self { settings, tls, hello: ClientId::default(), idle: Idle::default(), mask })
    }

    pub async fn send(&self, message: &Message) -> Result<(), SmtpRefusal> {
        let mut conn = match self.take_idle().await {
            Some(conn) => conn,
            None => self.connect().await.map_err(SmtpRefusal::Server)?,
        };
        let envelope = message.envelope();
        let from = Mail::new(envelope.from().cloned(), options(envelope, conn.server_info())?);
        // A server that refuses the sender refuses every mail: the operator has to change MAIL_FROM.
        self.step(COMMAND, conn.command(from)).await.map_err(
            |(SmtpRefusal::Mail(error) | SmtpRefusal::Server(error))| {
                SmtpRefusal::Server(error.context("MAIL_FROM"))
            },
        )?;
        for to in envelope.to() {
            self.step(COMMAND, conn.command(Rcpt::new(to.clone(), Vec::new()))).await?;
        }
        self.step(COMMAND, conn.command(Data)).await?;
        self.step(ACCEPT, conn.message(&message.formatted())).await?;
        self.keep(conn);
        Ok(())
    }

    /// Connects and logs in; the error is one line.
    pub async fn connect(&self) -> Result<AsyncSmtpConnection> {
        let config::Smtp { server, port, .. } = &self.settings;
        match time::timeout(CONNECT, self.open()).await {
            Ok(opened) => opened.map_err(|(step, error)| {
                let error = self.mask.text(&error.to_string());
                anyhow!("{step} {server}:{port}: {error}")
            }),
            Err(_) => Err(anyhow!("the mail server {server}:{port} did not answer in time")),
        }
    }

    async fn open(&self) -> Result<AsyncSmtpConnection, (&'static str, Error)> {
        let config::Smtp { server, port, login, security, .. } = &self.settings;
        let at_once = self.tls.clone().filter(|_| *security == MailSecurity::Tls);
        let address = (server.as_str(), *port);
        let mut conn = AsyncSmtpConnection::connect_tokio1(address, None, &self.hello, at_once, None)
            .await
            .map_err(|error| ("cannot connect to the mail server", error))?;
        if let Some(tls) = self.tls.clone().filter(|_| *security == MailSecurity::StartTls) {
            conn.starttls(tls, &self.hello)
                .await
                .map_err(|error| ("cannot start TLS (STARTTLS) with the mail server", error))?;
        }
        if let Some((user, password)) = login {
            let credentials = Credentials::new(user.clone(), password.expose().to_owned());
            conn.auth(DEFAULT_MECHANISMS, &credentials)
                .await
                .map_err(|error| ("cannot log in to the mail server", error))?;
        }
        Ok(conn)
    }

    async fn step(
        &self,
        bound: Duration,
        answer: impl Future<Output = Result<Response, Error>>,
    ) -> Result<(), SmtpRefusal> {
        let Ok(answer) = time::timeout(bound, answer).await else {
            return Err(SmtpRefusal::Server(anyhow!("the mail server did not answer in time")));
        };
        answer.map(drop).map_err(|error| {
            let text = self.mask.text(&error.to_string());
            if error.is_permanent() {
                SmtpRefusal::Mail(anyhow!("the mail server refused the mail: {text}"))
            } else {
                SmtpRefusal::Server(anyhow!("the mail server did not accept the mail: {text}"))
            }
        })
    }

    /// Takes an idle connection that still answers.
    async fn take_idle(&self) -> Option<AsyncSmtpConnection> {
        loop {
            let (mut conn, _) = self.idle.lock().connections.pop()?;
            if time::timeout(PROBE, conn.test_connected()).await == Ok(true) {
                return Some(conn);
            }
        }
    }

    fn keep(&self, conn: AsyncSmtpConnection) {
        let mut idle = self.idle.lock();
        if idle.connections.len() < MAX_IDLE {
            idle.connections.push((conn, Instant::now()));
        }
        if !std::mem::replace(&mut idle.has_closer, true) {
            tokio::spawn(close_idle(self.idle.clone()));
        }
    }
}

/// Closes idle connections; ends when none is left.
async fn close_idle(idle: Idle) {
    loop {
        time::sleep(IDLE_TIMEOUT).await;
        let old: Vec<_> = {
            let mut idle = idle.lock();
            idle.has_closer = !idle.connections.is_empty();
            if !idle.has_closer {
                return;
            }
            idle.connections.extract_if(.., |(_, since)| since.elapsed() >= IDLE_TIMEOUT).collect()
        };
        for (mut conn, _) in old {
            let _ = time::timeout(PROBE, conn.quit()).await;
        }
    }
}

/// Parameters of `MAIL FROM`: SMTPUTF8 (RFC 6531) if an address is not ASCII; the message itself always is.
fn options(envelope: &Envelope, server: &ServerInfo) -> Result<Vec<MailParameter>, SmtpRefusal> {
    let mut addresses = envelope.from().into_iter().chain(envelope.to());
    if addresses.all(|address| AsRef::<str>::as_ref(address).is_ascii()) {
        return Ok(Vec::new());
    }
    if server.supports_feature(Extension::SmtpUtfEight) {
        return Ok(vec![MailParameter::SmtpUtfEight]);
    }
    Err(SmtpRefusal::Mail(anyhow!("the address is not ASCII and the mail server does not support SMTPUTF8")))
}

fn tls(settings: &config::Smtp) -> Result<TlsParameters> {
    let mut builder = TlsParameters::builder(settings.server.clone());
    if let Some(path) = &settings.ca {
        let unreadable = || format!("MAIL_CA: {} cannot be read as PEM", path.display());
        let pem = fs::read(path).with_context(unreadable)?;
        builder = builder.add_root_certificate(Certificate::from_pem(&pem).with_context(unreadable)?);
    }
    builder.build_rustls().context("cannot set up TLS for mail")
}
