//! Settings of mail.

use std::{
    fmt,
    net::IpAddr,
    path::{Path, PathBuf},
};

use lettre::message::Mailbox;

use super::{
    Profile, address,
    env::{Env, Secret},
    server::read_url,
};

/// How mails are sent, and how they name this service.
#[derive(Clone, Debug)]
pub struct Mail {
    pub transport: MailTransport,
    /// The sender; its domain is also that of message ids.
    pub from: Mailbox,
    /// The name of this service in mails.
    pub product_name: String,
    /// Base of links in mails, without a trailing slash; None for the built-in pages.
    pub app_url: Option<String>,
    /// The page of a coin, with the placeholder `{slug}`: `COIN_URL`, else below `APP_URL`; None without both.
    pub coin_url: Option<String>,
    /// Where people log in, for the built-in pages: `LOGIN_URL`, else `APP_URL`.
    pub login_url: Option<String>,
}

#[derive(Clone, Debug)]
pub enum MailTransport {
    Smtp(Smtp),
    /// Writes an `.eml` file for each mail to this directory.
    File(PathBuf),
    /// Prints the text of each mail.
    Log,
    /// Sends no mails: they become dead jobs that an admin can retry.
    Off,
}

impl fmt::Display for MailTransport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Smtp(smtp) => write!(f, "sent by {}", smtp.server),
            Self::File(directory) => write!(f, "written to {}", directory.display()),
            Self::Log => f.write_str("printed here (set MAIL_SERVER to send mails)"),
            Self::Off => f.write_str("none: MAIL_SERVER is not set"),
        }
    }
}

#[derive(Clone, Debug)]
pub struct Smtp {
    /// Host name or IP address.
    pub server: String,
    pub port: u16,
    /// User name and password.
    pub login: Option<(String, Secret)>,
    pub security: MailSecurity,
    /// A PEM file with certificates to trust besides the system's.
    pub ca: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MailSecurity {
    /// STARTTLS, without which nothing is sent.
    StartTls,
    /// TLS from the first byte.
    Tls,
    None,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Transport {
    Smtp,
    File,
    Log,
    Off,
}

impl Mail {
    pub(super) fn read(env: &mut Env, profile: Profile, data_dir: &Path) -> Self {
        let smtp = read_smtp(env, profile);
        let default = match (&smtp, profile) {
            (Some(_), _) => Transport::Smtp,
            (None, Profile::Development) => Transport::Log,
            (None, Profile::Production) => Transport::Off,
        };
        let choices = [
            ("smtp", Transport::Smtp),
            ("file", Transport::File),
            ("log", Transport::Log),
            ("off", Transport::Off),
        ];
        let transport = env.choice("MAIL_TRANSPORT", default, &choices);
        let directory = data_dir.join("mail");
        env.note_default("MAIL_DIR", directory.display());
        let directory = env.text("MAIL_DIR").map_or(directory, PathBuf::from);
        if transport == Transport::Smtp && smtp.is_none() {
            env.wrong("MAIL_SERVER", "set when MAIL_TRANSPORT is smtp");
        }
        if transport == Transport::Log && profile == Profile::Production {
            env.wrong("MAIL_TRANSPORT", "smtp, file or off in production: mails contain links that log people in and must not be printed");
        }
        let product_name = read_product_name(env);
        let expected = "an http(s) address without a query, such as https://app.example.com";
        let app_url = read_url(env, profile, "APP_URL", expected);
        Self {
            coin_url: read_coin_url(env).or_else(|| Some(format!("{}/coins/{{slug}}", app_url.as_ref()?))),
            from: read_from(env, transport, &product_name),
            product_name,
            login_url: read_url(env, profile, "LOGIN_URL", expected).or_else(|| app_url.clone()),
            app_url,
            transport: match (transport, smtp) {
                (Transport::Smtp, Some(smtp)) => MailTransport::Smtp(smtp),
                (Transport::File, _) => MailTransport::File(directory),
                (Transport::Log, _) => MailTransport::Log,
                (Transport::Off | Transport::Smtp, _) => MailTransport::Off,
            },
        }
    }
}

fn read_coin_url(env: &mut Env) -> Option<String> {
    let text = env.text("COIN_URL")?;
    let is_url = address::parse(&text.replace("{slug}", "bitcoin"), &["http", "https"]).is_some();
    if !is_url || !text.contains("{slug}") {
        env.wrong("COIN_URL", "an http(s) address with {slug}, such as https://app.example.com/coins/{slug}");
    }
    Some(text)
}

fn read_smtp(env: &mut Env, profile: Profile) -> Option<Smtp> {
    let server = env.text("MAIL_SERVER");
    let choices =
        [("starttls", MailSecurity::StartTls), ("tls", MailSecurity::Tls), ("none", MailSecurity::None)];
    let security = env.choice("MAIL_SECURITY", MailSecurity::StartTls, &choices);
    let usual = match security {
        MailSecurity::StartTls => 587,
        MailSecurity::Tls => 465,
        MailSecurity::None => 25,
    };
    let port = env.number("MAIL_PORT", usual, 1..=u16::MAX);
    let (username, password) = (env.text("MAIL_USERNAME"), env.secret("MAIL_PASSWORD"));
    if username.is_some() != password.is_some() {
        env.wrong("MAIL_USERNAME", "set together with MAIL_PASSWORD");
    }
    let ca = env.text("MAIL_CA").map(PathBuf::from);
    let server = server?;
    if server.parse::<IpAddr>().is_err() && url::Host::parse(&server).is_err() {
        env.wrong("MAIL_SERVER", "a host name or an IP address; the port is MAIL_PORT");
    }
    let exposed = security == MailSecurity::None && !address::is_here(&server);
    if exposed && password.is_some() && profile == Profile::Production {
        env.wrong(
            "MAIL_SECURITY",
            "starttls or tls, since otherwise MAIL_PASSWORD crosses the network unencrypted",
        );
    }
    env.warn_if(
        exposed,
        "MAIL_SECURITY is none: mails with links that log people in cross the network unencrypted",
    );
    Some(Smtp { server, port, login: username.zip(password), security, ca })
}

fn read_product_name(env: &mut Env) -> String {
    let name = env.text("PRODUCT_NAME").unwrap_or_else(|| "Mintage".into());
    if name.chars().count() > 60 || name.chars().any(char::is_control) {
        env.wrong("PRODUCT_NAME", "a name of at most 60 characters");
    }
    name
}

fn read_from(env: &mut Env, transport: Transport, product_name: &str) -> Mailbox {
    let nowhere = "no-reply@localhost".parse().expect("an address");
    let text = env.text("MAIL_FROM");
    let parsed: Option<Mailbox> = text.as_deref().and_then(|text| text.parse().ok());
    // A domain can be converted to ASCII, but not the part before the @.
    let parsed = parsed.filter(|mailbox| mailbox.email.user().is_ascii());
    if parsed.is_none() && (text.is_some() || transport == Transport::Smtp) {
        env.wrong("MAIL_FROM", "an address such as no-reply@example.com or Example <no-reply@example.com>");
    }
    let Mailbox { name, email } = parsed.unwrap_or(Mailbox { name: None, email: nowhere });
    Mailbox { name: Some(name.unwrap_or_else(|| product_name.to_owned())), email }
}
