//! A mail server on this machine whose behaviour a test chooses.

use std::{
    net::SocketAddr,
    pin::Pin,
    sync::{Arc, Mutex},
    time::Duration,
};

use base64::{Engine, prelude::BASE64_STANDARD};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::{
    ServerConfig,
    pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer},
};
use tokio::{
    io::{AsyncBufReadExt, AsyncRead, AsyncWrite, AsyncWriteExt, BufReader},
    net::TcpSocket,
    task::JoinHandle,
    time,
};
use tokio_rustls::TlsAcceptor;

use super::ParsedMail;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encryption {
    None,
    StartTls,
    Tls,
}

/// How it treats a mail.
#[derive(Clone, Copy, Debug)]
pub enum Manner {
    Accept,
    /// Accepts connections and stays silent.
    Silence,
    /// Answers this command with this line.
    Refuse(&'static str, &'static str),
    /// Takes the mail, but closes the connection before it confirms that.
    DropAfterData,
    /// Confirms a mail only when its manner is changed.
    Hold,
}

/// A mail that it took.
#[derive(Clone, Debug)]
pub struct Received {
    pub mail: ParsedMail,
    /// `RCPT TO`.
    pub to: String,
    pub encrypted: bool,
    /// User and password.
    pub login: Option<(String, String)>,
}

struct State {
    manner: Manner,
    connections: usize,
    goodbyes: usize,
    received: Vec<Received>,
}

pub struct SmtpServer {
    pub port: u16,
    /// The certificate authority that a client has to trust, as PEM.
    pub ca: String,
    state: Arc<Mutex<State>>,
    task: JoinHandle<()>,
}

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

impl SmtpServer {
    pub fn start(encryption: Encryption, manner: Manner) -> Self {
        Self::start_on(Self::reserve(), encryption, manner)
    }

    /// A port of its own that refuses connections until a server starts on it.
    pub fn reserve() -> TcpSocket {
        let socket = TcpSocket::new_v4().expect("socket");
        socket.bind(SocketAddr::from(([127, 0, 0, 1], 0))).expect("port");
        socket
    }

    pub fn start_on(socket: TcpSocket, encryption: Encryption, manner: Manner) -> Self {
        let listener = socket.listen(64).expect("listener");
        let port = listener.local_addr().expect("address").port();
        let (ca, acceptor) = certificates();
        let state = Arc::new(Mutex::new(State { manner, connections: 0, goodbyes: 0, received: Vec::new() }));
        let shared = state.clone();
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (acceptor, state) = (acceptor.clone(), shared.clone());
                tokio::spawn(async move {
                    state.lock().expect("lock").connections += 1;
                    let conversation = Conversation { encrypted: false, acceptor, state };
                    // A client may disconnect at any time.
                    let _ = conversation.hold(Box::pin(stream), encryption).await;
                });
            }
        });
        Self { port, ca, state, task }
    }

    /// From now on.
    pub fn behave(&self, manner: Manner) {
        self.state.lock().expect("lock").manner = manner;
    }

    pub fn received(&self) -> Vec<Received> {
        self.state.lock().expect("lock").received.clone()
    }

    /// How often a client has sent QUIT.
    pub fn goodbyes(&self) -> usize {
        self.state.lock().expect("lock").goodbyes
    }

    pub fn connections(&self) -> usize {
        self.state.lock().expect("lock").connections
    }
}

impl Drop for SmtpServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn certificates() -> (String, TlsAcceptor) {
    let mut params = CertificateParams::new([]).expect("parameters");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let ca = CertifiedIssuer::self_signed(params, KeyPair::generate().expect("key")).expect("CA");
    let key = KeyPair::generate().expect("key");
    let names = ["localhost".to_owned(), "127.0.0.1".to_owned()];
    let leaf =
        CertificateParams::new(names).and_then(|names| names.signed_by(&key, &ca)).expect("certificate");
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(vec![leaf.der().clone()], key)
        .expect("a certificate and its key");
    (ca.pem(), TlsAcceptor::from(Arc::new(config)))
}

struct Conversation {
    encrypted: bool,
    acceptor: TlsAcceptor,
    state: Arc<Mutex<State>>,
}

impl Conversation {
    fn manner(&self) -> Manner {
        self.state.lock().expect("lock").manner
    }

    async fn hold(mut self, stream: Pin<Box<dyn Stream>>, encryption: Encryption) -> std::io::Result<()> {
        let mut stream = match encryption {
            Encryption::Tls => self.encrypt(stream).await?,
            Encryption::None | Encryption::StartTls => BufReader::new(stream),
        };
        if matches!(self.manner(), Manner::Silence) {
            time::sleep(Duration::from_hours(1)).await;
        }
        stream.write_all(b"220 test ESMTP\r\n").await?;
        let (mut to, mut login) = (String::new(), None);
        loop {
            let mut line = String::new();
            if stream.read_line(&mut line).await? == 0 {
                return Ok(());
            }
            let words: Vec<_> = line.split_whitespace().collect();
            let verb = words.first().copied().unwrap_or_default().to_uppercase();
            let manner = self.manner();
            let answer = match (manner, verb.as_str()) {
                (Manner::Silence, _) => {
                    time::sleep(Duration::from_hours(1)).await;
                    return Ok(());
                }
                (Manner::Refuse(command, answer), verb) if command == verb => answer,
                (_, "EHLO") if encryption == Encryption::StartTls && !self.encrypted => {
                    "250-test\r\n250 STARTTLS"
                }
                (_, "EHLO") => "250-test\r\n250 AUTH PLAIN",
                (_, "STARTTLS") => {
                    stream.write_all(b"220 go on\r\n").await?;
                    stream = self.encrypt(stream.into_inner()).await?;
                    continue;
                }
                (_, "AUTH") => {
                    login = decode_login(words[2]);
                    "235 welcome"
                }
                (_, "RCPT") => {
                    let address = line.trim_end().trim_start_matches(|c| c != '<');
                    address.trim_matches(['<', '>']).clone_into(&mut to);
                    "250 fine"
                }
                (_, "DATA") => {
                    stream.write_all(b"354 go on\r\n").await?;
                    let mail = ParsedMail::parse(&read_data(&mut stream).await?);
                    let (to, login) = (to.clone(), login.clone());
                    let received = Received { mail, to, encrypted: self.encrypted, login };
                    match self.take(received, manner).await {
                        Some(answer) => answer,
                        None => return Ok(()),
                    }
                }
                (_, "QUIT") => {
                    self.state.lock().expect("lock").goodbyes += 1;
                    "221 bye"
                }
                (_, "MAIL" | "NOOP" | "RSET") => "250 fine",
                _ => "500 what?",
            };
            stream.write_all(format!("{answer}\r\n").as_bytes()).await?;
        }
    }

    /// Returns the answer to a mail; None if the connection is closed instead.
    async fn take(&self, received: Received, manner: Manner) -> Option<&'static str> {
        match manner {
            Manner::Refuse("END", answer) => return Some(answer),
            Manner::Hold => {
                while matches!(self.manner(), Manner::Hold) {
                    time::sleep(Duration::from_millis(20)).await;
                }
            }
            _ => {}
        }
        self.state.lock().expect("lock").received.push(received);
        (!matches!(manner, Manner::DropAfterData)).then_some("250 taken")
    }

    async fn encrypt(
        &mut self,
        stream: Pin<Box<dyn Stream>>,
    ) -> std::io::Result<BufReader<Pin<Box<dyn Stream>>>> {
        let stream: Pin<Box<dyn Stream>> = Box::pin(self.acceptor.accept(stream).await?);
        self.encrypted = true;
        Ok(BufReader::new(stream))
    }
}

/// The user and the password of `AUTH PLAIN` (RFC 4616).
fn decode_login(argument: &str) -> Option<(String, String)> {
    let decoded = BASE64_STANDARD.decode(argument).expect("base64");
    let text = String::from_utf8(decoded).expect("UTF-8");
    let mut parts = text.split('\0').skip(1).map(str::to_owned);
    parts.next().zip(parts.next())
}

/// Up to the line with a single dot (RFC 5321 section 4.5.2).
async fn read_data(stream: &mut BufReader<Pin<Box<dyn Stream>>>) -> std::io::Result<Vec<u8>> {
    let mut data = Vec::new();
    loop {
        let mut line = Vec::new();
        if stream.read_until(b'\n', &mut line).await? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        match line.strip_prefix(b".") {
            Some(b"\r\n") => return Ok(data),
            Some(rest) => data.extend(rest),
            None => data.extend(line),
        }
    }
}
