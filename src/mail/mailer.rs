//! Sends mails by the configured transport.

use std::{path::PathBuf, sync::Arc};

use anyhow::{Context, Result, anyhow, bail};
use lettre::message::Mailbox;
use tokio::task;

use super::{
    Letter, Mail, SentMails, console, file,
    mailbox::SentMail,
    message,
    smtp::{Smtp, SmtpRefusal},
};
use crate::{
    config::{self, MailTransport},
    jobs::{Failure, Running},
};

/// Attempts for a mail that the server refuses with 5xx, since some servers answer 5xx to temporary errors.
const MAX_REFUSED: i32 = 3;

/// Sends mails; cheap to clone.
#[derive(Clone)]
pub struct Mailer(Arc<Inner>);

struct Inner {
    transport: Transport,
    from: Mailbox,
    /// Keeps what was sent, in development.
    mailbox: Option<Arc<SentMails>>,
    product: String,
    app_url: Option<String>,
}

enum Transport {
    Smtp(Smtp),
    File(PathBuf),
    Log,
    Off,
}

impl Mailer {
    /// Makes a mailer, which connects when it sends. What was sent is also added to `mailbox`.
    ///
    /// # Errors
    /// `MAIL_CA` cannot be read, or the domain of `MAIL_FROM` is not valid.
    pub fn new(settings: &config::Mail, mailbox: Option<Arc<SentMails>>) -> Result<Self> {
        let transport = match &settings.transport {
            MailTransport::Smtp(settings) => Transport::Smtp(Smtp::new(settings.clone())?),
            MailTransport::File(directory) => Transport::File(directory.clone()),
            MailTransport::Log => Transport::Log,
            MailTransport::Off => Transport::Off,
        };
        Ok(Self(Arc::new(Inner {
            transport,
            from: message::with_ascii_domain(&settings.from).context("MAIL_FROM")?,
            mailbox,
            product: settings.product_name.clone(),
            app_url: settings.app_url.clone(),
        })))
    }

    /// `PRODUCT_NAME`, the name of this service in mails.
    pub fn product(&self) -> &str {
        &self.0.product
    }

    /// `APP_URL`, the base of links; None for the built-in pages.
    pub fn app_url(&self) -> Option<&str> {
        self.0.app_url.as_deref()
    }

    /// What was sent, in development.
    pub fn mailbox(&self) -> Option<Arc<SentMails>> {
        self.0.mailbox.clone()
    }

    /// Renders the letter and sends it, within 3 minutes.
    pub async fn send_letter(&self, job: &Running, to: &str, letter: &Letter<'_>) -> Result<(), Failure> {
        self.send(job, to, letter.render(self.product())).await
    }

    /// Sends the mail of this job, whose id becomes the Message-ID, within 3 minutes.
    ///
    /// # Errors
    /// Temporary, unless the server has refused this mail [`MAX_REFUSED`] times.
    pub async fn send(&self, job: &Running, to: &str, mail: Mail) -> Result<(), Failure> {
        let Some(mailbox) = &self.0.mailbox else {
            return self.transmit(job, to, mail).await;
        };
        self.transmit(job, to, mail.clone()).await?;
        let Mail { subject, text, html, link, code, .. } = mail;
        mailbox.add(SentMail {
            id: job.id,
            sent_at: job.now,
            to: to.into(),
            subject,
            link,
            code,
            text,
            html,
        });
        Ok(())
    }

    async fn transmit(&self, job: &Running, to: &str, mail: Mail) -> Result<(), Failure> {
        let Inner { transport, from, .. } = &*self.0;
        let text = format!("--- mail to {to} ---\nSubject: {}\n\n{}\n---\n", mail.subject, mail.text);
        let message = message::build(job.id, job.now, from, to, mail).map_err(Failure::Permanent)?;
        match transport {
            Transport::Smtp(smtp) => smtp.send(&message).await.map_err(|refusal| match refusal {
                SmtpRefusal::Mail(error) if job.attempt_in_turn >= MAX_REFUSED => Failure::Permanent(error),
                SmtpRefusal::Mail(error) | SmtpRefusal::Server(error) => Failure::Retry(error),
            }),
            Transport::File(directory) => {
                let (directory, id) = (directory.clone(), job.id);
                let written = task::spawn_blocking(move || file::write(&directory, id, &message.formatted()));
                let written = written.await.context("the thread panicked")?;
                Ok(written.context("the mail cannot be written to MAIL_DIR")?)
            }
            Transport::Log => Ok(console::print(text).await.context("the mail cannot be printed")?),
            Transport::Off => Err(Failure::Permanent(anyhow!("no MAIL_SERVER is set"))),
        }
    }

    /// Connects to the mail server and logs in. The text of an error is one line.
    pub async fn check(&self) -> Result<()> {
        let Transport::Smtp(smtp) = &self.0.transport else {
            bail!("mails are not sent by SMTP: set MAIL_SERVER");
        };
        drop(smtp.connect().await?);
        Ok(())
    }
}
