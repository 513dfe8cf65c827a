//! Builds the message of a mail (RFC 5322).

use anyhow::{Context, Result};
use chrono::{DateTime, Utc};
use lettre::{
    Address, Message,
    message::{
        Mailbox, MultiPart,
        header::{Header, HeaderName, HeaderValue},
    },
};
use uuid::Uuid;

use super::Mail;

/// Prevents automatic replies (RFC 3834).
#[derive(Clone)]
struct AutoSubmitted;

impl Header for AutoSubmitted {
    fn name() -> HeaderName {
        HeaderName::new_from_ascii_str("Auto-Submitted")
    }

    fn parse(_: &str) -> Result<Self, Box<dyn std::error::Error + Send + Sync>> {
        Ok(Self)
    }

    fn display(&self) -> HeaderValue {
        HeaderValue::new(Self::name(), "auto-generated".into())
    }
}

/// Builds a message. Its id is derived from `id`, so that mail programs show a repeated mail once.
pub(super) fn build(id: Uuid, now: DateTime<Utc>, from: &Mailbox, to: &str, mail: Mail) -> Result<Message> {
    // A line break would begin another header.
    let subject = mail.subject.replace(char::is_control, " ");
    let mut message = Message::builder();
    if let Some(url) = &mail.unsubscribe {
        message = message.raw_header(header("List-Unsubscribe", format!("<{url}>")));
        // Only over HTTPS (RFC 8058, section 3.1).
        if url.starts_with("https:") {
            message =
                message.raw_header(header("List-Unsubscribe-Post", "List-Unsubscribe=One-Click".into()));
        }
    }
    message
        .message_id(Some(format!("<{id}@{}>", from.email.domain())))
        .date(now.into())
        .from(from.clone())
        .to(Mailbox::new(None, address(to)?))
        .subject(subject)
        .header(AutoSubmitted)
        .multipart(MultiPart::alternative_plain_html(mail.text, mail.html))
        .context("the mail cannot be built")
}

/// A header that is written as it is, without line breaks: programs compare addresses byte by byte.
fn header(name: &'static str, value: String) -> HeaderValue {
    HeaderValue::dangerous_new_pre_encoded(HeaderName::new_from_ascii_str(name), value.clone(), value)
}

/// Converts the domain to A-labels (RFC 5890), which every server supports.
pub(super) fn with_ascii_domain(mailbox: &Mailbox) -> Result<Mailbox> {
    Ok(Mailbox::new(mailbox.name.clone(), address(mailbox.email.as_ref())?))
}

fn address(text: &str) -> Result<Address> {
    let wrong = "the address is not valid for mail";
    let (local, domain) = text.rsplit_once('@').context(wrong)?;
    let domain = idna::domain_to_ascii_strict(domain).ok().context(wrong)?;
    Address::new(local, domain).ok().context(wrong)
}

#[cfg(test)]
mod tests {
    use mail_parser::MessageParser;

    use super::*;

    fn built(to: &str, subject: &str) -> Result<Vec<u8>> {
        let address = "no-reply@example.com".parse().expect("address");
        let from = Mailbox::new(Some("Ācme, Inc.".into()), address);
        let mail = Mail {
            subject: subject.into(),
            text: "Grüße\n.\n".into(),
            html: "<p>Grüße</p>".into(),
            ..Mail::default()
        };
        let now = "2026-11-20T10:00:00Z".parse().expect("time");
        Ok(build(Uuid::nil(), now, &from, to, mail)?.formatted())
    }

    #[test]
    fn messages_have_the_headers_of_an_automatic_mail() {
        let bytes = built("ada@bücher.example", "Grüße").expect("built");
        assert!(bytes.is_ascii(), "no server needs 8BITMIME");
        let mail = MessageParser::default().parse(&bytes).expect("a mail");
        assert_eq!(mail.subject(), Some("Grüße"));
        assert_eq!(mail.message_id(), Some("00000000-0000-0000-0000-000000000000@example.com"));
        assert_eq!(
            mail.date().map(mail_parser::DateTime::to_rfc3339).as_deref(),
            Some("2026-11-20T10:00:00Z")
        );
        assert_eq!(mail.header_raw("Auto-Submitted").map(str::trim), Some("auto-generated"));
        let to = mail.to().and_then(|to| to.first()).expect("to");
        assert_eq!(to.address(), Some("ada@xn--bcher-kva.example"));
        let from = mail.from().and_then(|from| from.first()).expect("from");
        assert_eq!(from.name(), Some("Ācme, Inc."));
        assert_eq!(mail.body_text(0).as_deref().map(str::trim_end), Some("Grüße\r\n."));
        assert_eq!(mail.body_html(0).as_deref(), Some("<p>Grüße</p>"));
    }

    #[test]
    fn a_mail_names_the_address_that_ends_such_mails() {
        let from = "no-reply@example.com".parse().expect("address");
        for (scheme, has_post) in [("https", true), ("http", false)] {
            let url = format!("{scheme}://api.example.com/end-alerts?token={}", "a".repeat(576));
            let mail = Mail { unsubscribe: Some(url.clone()), ..Mail::default() };
            let message =
                build(Uuid::nil(), DateTime::UNIX_EPOCH, &from, "ada@example.com", mail).expect("built");
            let text = format!("\r\n{}", String::from_utf8(message.formatted()).expect("UTF-8"));
            assert!(text.contains(&format!("\r\nList-Unsubscribe: <{url}>\r\n")), "{text}");
            assert_eq!(text.contains("\r\nList-Unsubscribe-Post: List-Unsubscribe=One-Click\r\n"), has_post);
        }
    }

    #[test]
    fn headers_cannot_be_injected() {
        for evil in ["Hi\r\nBcc: eve@example.com", "Hi\nBcc: eve@example.com", "Hi\rBcc: eve@example.com\0"] {
            let bytes = built("ada@example.com", evil).expect("built");
            let mail = MessageParser::default().parse(&bytes).expect("a mail");
            assert!(mail.bcc().is_none() && mail.header("Bcc").is_none());
            assert!(mail.subject().is_some_and(|subject| subject.contains("Bcc: eve@example.com")));
            let address = evil.replace("Hi", "ada@example.com");
            assert!(built(&address, "Hi").is_err(), "{address:?}");
        }
        assert!(built("ada@example.com>,<eve@example.com", "Hi").is_err());
    }
}
