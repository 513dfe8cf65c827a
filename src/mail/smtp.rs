//! SMTP with a few connections kept open.
//!
//! lettre's own pool takes a connection back also when the wait for its answer was given up, and
//! the next mail would read that answer as its own. Here a connection is kept only when a mail
//! went through whole, and every step has a bound.

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

/// To reach the server, agree on TLS and log in.
const CONNECT: Duration = Duration::from_secs(10);
const COMMAND: Duration = Duration::from_secs(10);
/// To take a mail. Servers that look into it first are slow, and who does not wait for their
/// answer sends the mail again (RFC 5321 section 4.5.3.2.6).
const TAKE: Duration = Duration::from_mins(2);
/// To say that an idle connection still works.
const ALIVE: Duration = Duration::from_secs(3);
const MOST_IDLE: usize = 4;
/// A connection is kept at least so long, and at most twice.
const KEPT_IDLE: Duration = Duration::from_secs(15);

/// Why a mail was not taken.
pub(super) enum Refusal {
    /// This mail: a 5xx, or something in it that the server cannot take.
    Mail(anyhow::Error),
    /// The server does not work, not now, or not for us.
    Server(anyhow::Error),
}

pub(super) struct Smtp {
    settings: config::Smtp,
    /// None: no encryption.
    tls: Option<TlsParameters>,
    hello: ClientId,
    idle: Idle,
    /// Takes the login out of what the server says.
    mask: Mask,
}

type Idle = Arc<Mutex<Waiting>>;

/// What waits for the next mail.
#[derive(Default)]
struct Waiting {
    /// Each since when.
    connections: Vec<(AsyncSmtpConnection, Instant)>,
    /// Whether somebody ends those that are not needed any more.
    is_watched: bool,
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
                // What AUTH PLAIN sends, which some servers repeat in base64 (RFC 4616).
                let plain = format!("\0{user}\0{}", password.expose());
                Mask::new([plain.as_str(), user, password.expose()])
            }
        };
        Ok(Self { settings, tls, hello: ClientId::default(), idle: Idle::default(), mask })
    }

    pub async fn send(&self, message: &Message) -> Result<(), Refusal> {
        let mut conn = match self.take_idle().await {
            Some(conn) => conn,
            None => self.connect().await.map_err(Refusal::Server)?,
        };
        let envelope = message.envelope();
        let from = Mail::new(envelope.from().cloned(), options(envelope, conn.server_info())?);
        // Who refuses the sender would refuse every mail: that is for the operator to mend.
        self.step(COMMAND, conn.command(from)).await.map_err(
            |(Refusal::Mail(error) | Refusal::Server(error))| Refusal::Server(error.context("MAIL_FROM")),
        )?;
        for to in envelope.to() {
            self.step(COMMAND, conn.command(Rcpt::new(to.clone(), Vec::new()))).await?;
        }
        self.step(COMMAND, conn.command(Data)).await?;
        self.step(TAKE, conn.message(&message.formatted())).await?;
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
                .map_err(|error| ("no STARTTLS with the mail server", error))?;
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
    ) -> Result<(), Refusal> {
        let Ok(answer) = time::timeout(bound, answer).await else {
            return Err(Refusal::Server(anyhow!("the mail server did not answer in time")));
        };
        answer.map(drop).map_err(|error| {
            let text = self.mask.text(&error.to_string());
            if error.is_permanent() {
                Refusal::Mail(anyhow!("the mail server refused the mail: {text}"))
            } else {
                Refusal::Server(anyhow!("the mail server did not take the mail: {text}"))
            }
        })
    }

    /// A connection that still answers.
    async fn take_idle(&self) -> Option<AsyncSmtpConnection> {
        loop {
            let (mut conn, _) = self.idle.lock().connections.pop()?;
            if time::timeout(ALIVE, conn.test_connected()).await == Ok(true) {
                return Some(conn);
            }
        }
    }

    fn keep(&self, conn: AsyncSmtpConnection) {
        let mut idle = self.idle.lock();
        if idle.connections.len() < MOST_IDLE {
            idle.connections.push((conn, Instant::now()));
        }
        if !std::mem::replace(&mut idle.is_watched, true) {
            tokio::spawn(watch(self.idle.clone()));
        }
    }
}

/// Takes leave of connections that nobody needs any more, until there are none.
async fn watch(idle: Idle) {
    loop {
        time::sleep(KEPT_IDLE).await;
        let old: Vec<_> = {
            let mut idle = idle.lock();
            idle.is_watched = !idle.connections.is_empty();
            if !idle.is_watched {
                return;
            }
            idle.connections.extract_if(.., |(_, since)| since.elapsed() >= KEPT_IDLE).collect()
        };
        for (mut conn, _) in old {
            let _ = time::timeout(ALIVE, conn.quit()).await;
        }
    }
}

/// What the server has to know of the envelope; the message itself is ASCII.
fn options(envelope: &Envelope, server: &ServerInfo) -> Result<Vec<MailParameter>, Refusal> {
    let mut addresses = envelope.from().into_iter().chain(envelope.to());
    if addresses.all(|address| AsRef::<str>::as_ref(address).is_ascii()) {
        return Ok(Vec::new());
    }
    if server.supports_feature(Extension::SmtpUtfEight) {
        return Ok(vec![MailParameter::SmtpUtfEight]);
    }
    Err(Refusal::Mail(anyhow!("the address is not ASCII and the mail server has no SMTPUTF8")))
}

fn tls(settings: &config::Smtp) -> Result<TlsParameters> {
    let mut builder = TlsParameters::builder(settings.server.clone());
    if let Some(path) = &settings.ca {
        let unreadable = || format!("MAIL_CA: {} cannot be read as PEM", path.display());
        let pem = fs::read(path).with_context(unreadable)?;
        builder = builder.add_root_certificate(Certificate::from_pem(&pem).with_context(unreadable)?);
    }
    builder.build_rustls().context("TLS cannot be set up for mail")
}
