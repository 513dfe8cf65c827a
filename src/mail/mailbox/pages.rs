//! The pages of the mailbox, and the same as JSON for test suites.

use actix_web::{
    HttpRequest, HttpResponse,
    http::header::{self, HeaderName},
    web::Data,
};
use askama::Template;
use serde::{Deserialize, Serialize};
use uuid::Uuid;
use validator::Validate;

use super::{SentMail, SentMails};
use crate::http::{Path, Problem, Query, accept, kind};

const PAGE_POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; img-src 'self'; frame-src 'self'; \
                           base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
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
    mails: &'a [SentMail],
    to: Option<&'a str>,
}

#[derive(Template)]
#[template(path = "mail/mailbox/mail.html")]
struct MailPage<'a> {
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
    if wants_html(&req) {
        return page(&ListPage { mails: &mails, to }, PAGE_POLICY);
    }
    Ok(private().json(MailList { data: &mails }))
}

/// `GET /dev/mails/{id}`
pub async fn mail(
    req: HttpRequest,
    path: Path<Uuid>,
    mailbox: Data<SentMails>,
) -> Result<HttpResponse, Problem> {
    let mail = find(&mailbox, path.0)?;
    if wants_html(&req) { page(&MailPage { mail: &mail }, PAGE_POLICY) } else { Ok(private().json(mail)) }
}

/// `GET /dev/mails/{id}/html`: the HTML part alone.
pub async fn html(path: Path<Uuid>, mailbox: Data<SentMails>) -> Result<HttpResponse, Problem> {
    let mail = find(&mailbox, path.0)?;
    let html = mail.html.replacen("<head>", "<head>\n<base target=\"_blank\">", 1);
    Ok(private()
        .content_type("text/html; charset=utf-8")
        .insert_header((header::CONTENT_SECURITY_POLICY, MAIL_POLICY))
        .body(html))
}

fn find(mailbox: &SentMails, id: Uuid) -> Result<SentMail, Problem> {
    mailbox.find(id).ok_or_else(|| Problem::new(&kind::NOT_FOUND))
}

/// Browsers ask for HTML by name; programs that ask for nothing in particular get JSON.
fn wants_html(req: &HttpRequest) -> bool {
    accept::prefers(req, "text/html", "application/json")
}

fn page(page: &impl Template, policy: &'static str) -> Result<HttpResponse, Problem> {
    let html = page.render().map_err(Problem::internal)?;
    Ok(private()
        .content_type("text/html; charset=utf-8")
        .insert_header((header::CONTENT_SECURITY_POLICY, policy))
        .body(html))
}

/// No other origin may embed the answer, and no address of it reaches another server.
fn private() -> actix_web::HttpResponseBuilder {
    let mut response = HttpResponse::Ok();
    response
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .insert_header((header::REFERRER_POLICY, "no-referrer"))
        .insert_header((header::VARY, "Accept"))
        .insert_header((HeaderName::from_static("cross-origin-resource-policy"), "same-origin"))
        .insert_header((HeaderName::from_static("cross-origin-opener-policy"), "same-origin"));
    response
}
