//! The pages of the mailbox, and the same as JSON for test suites.

use actix_web::{
    HttpRequest, HttpResponse,
    http::header::{self, HeaderName, HeaderValue},
    web::Data,
};
use askama::Template;
use serde::{Deserialize, Serialize};
use uuid::Uuid;
use validator::Validate;

use super::{SentMail, SentMails};
use crate::http::{Path, Problem, Query, html, kind};

/// A mail loads nothing and runs no scripts. Its links open in a new tab, which the sandbox does not hold.
const MAIL_POLICY: &str = "sandbox allow-popups allow-popups-to-escape-sandbox; default-src 'none'; \
                           style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'self'";

#[derive(Deserialize, Validate)]
#[serde(deny_unknown_fields)]
pub struct ListMails {
    #[validate(length(max = 320, message = "must have at most 320 characters"))]
    to: Option<String>,
}

#[derive(Serialize)]
struct MailList<'a> {
    data: &'a [SentMail],
}

#[derive(Template)]
#[template(path = "mail/mailbox/list.html")]
struct ListPage<'a> {
    /// The address of the start page.
    root: &'a str,
    mails: &'a [SentMail],
    to: Option<&'a str>,
}

#[derive(Template)]
#[template(path = "mail/mailbox/mail.html")]
struct MailPage<'a> {
    /// The address of the start page.
    root: &'a str,
    mail: &'a SentMail,
}

/// `GET /dev/mails?to=…`: the newest first.
pub async fn list(
    req: HttpRequest,
    query: Query<ListMails>,
    mailbox: Data<SentMails>,
) -> Result<HttpResponse, Problem> {
    let to = query.0.to.as_deref();
    let mails = mailbox.list(to);
    if html::is_preferred(&req) {
        return Ok(private(html::respond(&ListPage { root: "/", mails: &mails, to })?));
    }
    Ok(private(HttpResponse::Ok().json(MailList { data: &mails })))
}

/// `GET /dev/mails/{id}`
pub async fn mail(
    req: HttpRequest,
    path: Path<Uuid>,
    mailbox: Data<SentMails>,
) -> Result<HttpResponse, Problem> {
    let mail = find(&mailbox, path.0)?;
    if html::is_preferred(&req) {
        return Ok(private(html::respond(&MailPage { root: "/", mail: &mail })?));
    }
    Ok(private(HttpResponse::Ok().json(mail)))
}

/// `GET /dev/mails/{id}/html`: the HTML part alone.
pub async fn html_part(path: Path<Uuid>, mailbox: Data<SentMails>) -> Result<HttpResponse, Problem> {
    let mail = find(&mailbox, path.0)?;
    let text = mail.html.replacen("<head>", "<head>\n<base target=\"_blank\">", 1);
    let mut response = HttpResponse::Ok();
    response.content_type(html::CONTENT_TYPE).insert_header((header::CONTENT_SECURITY_POLICY, MAIL_POLICY));
    Ok(private(response.body(text)))
}

fn find(mailbox: &SentMails, id: Uuid) -> Result<SentMail, Problem> {
    mailbox.find(id).ok_or_else(|| Problem::new(&kind::NOT_FOUND))
}

/// No other origin may embed the answer, and no address of it reaches another server.
fn private(mut response: HttpResponse) -> HttpResponse {
    let headers = response.headers_mut();
    for (name, value) in [
        (header::CACHE_CONTROL, "no-store"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::VARY, "Accept"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}
