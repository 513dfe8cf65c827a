//! Serves small pages for the links in mails, so that no frontend (`APP_URL`) is needed to confirm, reset or undo.
//!
//! The token is in the fragment, which browsers do not send to servers. A script removes it from the address and posts
//! it when the button is pressed. Opening a page uses nothing up, because mail scanners open links too. Addresses are
//! relative, so `PUBLIC_URL` may have a path.

use actix_web::{
    HttpResponse, get,
    http::header::{self, HeaderName},
    web::Data,
};
use askama::Template;
use utoipa_actix_web::service_config::ServiceConfig;

use crate::{
    config::Mail,
    http::{Path, Problem, html, kind},
};

const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; \
                      img-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
const ASSETS: [(&str, &str, &str); 2] = [
    (
        "flow.css",
        "text/css; charset=utf-8",
        concat!(include_str!("../http/base.css"), include_str!("flow.css")),
    ),
    ("flow.js", "text/javascript; charset=utf-8", include_str!("flow.js")),
];

pub fn routes(config: &mut ServiceConfig) {
    config
        .service(confirm_page)
        .service(reset_password_page)
        .service(confirm_email_change_page)
        .service(undo_email_change_page)
        .service(unlock_login_page)
        .service(accept_invitation_page)
        .service(restore_account_page)
        .service(end_session_page)
        .service(end_alerts_page)
        .service(page_asset);
}

/// The pages' settings.
pub struct Pages {
    product_name: String,
    /// Where people log in; without it the pages lead to the start page.
    login_url: Option<String>,
}

impl Pages {
    pub fn new(settings: &Mail) -> Self {
        Self { product_name: settings.product_name.clone(), login_url: settings.login_url.clone() }
    }

    fn next(&self) -> Next<'_> {
        match self.login_url.as_deref() {
            Some(href) => Next { label: "Log in", href },
            None => Next { label: "Start page", href: "./" },
        }
    }
}

/// The texts of a page, and where it posts.
#[derive(Template)]
#[template(path = "pages/page.html")]
struct Page<'a> {
    product: &'a str,
    title: &'a str,
    /// The text before the form is sent.
    intro: &'a str,
    endpoint: &'a str,
    button: &'a str,
    /// The heading and the text after success; the address may stand before the text.
    result: &'a str,
    done: &'a str,
    /// Where to go on after success.
    next: Next<'a>,
    /// Whether the page takes a code if it was opened without a link.
    takes_code: bool,
    password: Option<Password<'a>>,
    /// The form that requests another mail.
    resend: Option<Resend<'a>>,
}

/// The field for a password.
struct Password<'a> {
    name: &'a str,
    label: &'a str,
    hint: &'a str,
    /// The content that a password manager may fill in (HTML, autofill field names).
    autocomplete: &'a str,
}

/// A link.
struct Next<'a> {
    label: &'a str,
    href: &'a str,
}

struct Resend<'a> {
    endpoint: &'a str,
    question: &'a str,
}

fn respond(page: &Page) -> Result<HttpResponse, Problem> {
    let html = page.render().map_err(Problem::internal)?;
    Ok(HttpResponse::Ok()
        .content_type(html::CONTENT_TYPE)
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .insert_header((header::REFERRER_POLICY, "no-referrer"))
        .insert_header((HeaderName::from_static("cross-origin-opener-policy"), "same-origin"))
        .insert_header((header::CONTENT_SECURITY_POLICY, POLICY))
        .body(html))
}

/// Page: confirm an email address
///
/// Shows a form for the link or the code of a confirmation mail.
#[utoipa::path(
    tag = "pages",
    security(()),
    responses((status = 200, description = "The page.", body = String, content_type = "text/html",
        example = "<!doctype html><title>Confirm your email address</title>…"))
)]
#[get("/confirm")]
async fn confirm_page(pages: Data<Pages>) -> Result<HttpResponse, Problem> {
    respond(&Page {
        product: &pages.product_name,
        title: "Confirm your email address",
        intro: "Someone asked for an account with this email address. Confirm it only if that was you. Then you can \
               log in.",
        endpoint: "api/v1/auth/confirm",
        button: "Confirm",
        result: "Email address confirmed",
        done: "is confirmed. You can log in now.",
        next: pages.next(),
        takes_code: true,
        password: Some(Password {
            name: "password",
            label: "Password",
            hint: "Repeat the password you registered with, or choose another one of at least 8 characters.",
            autocomplete: "current-password",
        }),
        resend: Some(Resend {
            endpoint: "api/v1/auth/confirm/resend",
            question: "No email, or has it expired?",
        }),
    })
}

/// Page: reset the password
///
/// Shows a form for the link or the code of a mail for a new password. The page can also request that mail.
#[utoipa::path(
    tag = "pages",
    security(()),
    responses((status = 200, description = "The page.", body = String, content_type = "text/html",
        example = "<!doctype html><title>Choose a new password</title>…"))
)]
#[get("/reset-password")]
async fn reset_password_page(pages: Data<Pages>) -> Result<HttpResponse, Problem> {
    respond(&Page {
        product: &pages.product_name,
        title: "Choose a new password",
        intro: "This logs you out everywhere. Log in with the new password afterwards.",
        endpoint: "api/v1/auth/password/reset",
        button: "Set the password",
        result: "Password changed",
        done: "Your new password is set. You can log in with it now.",
        next: pages.next(),
        takes_code: true,
        password: Some(Password {
            name: "new_password",
            label: "New password",
            hint: "At least 8 characters; a few unusual words are a good choice.",
            autocomplete: "new-password",
        }),
        resend: Some(Resend {
            endpoint: "api/v1/auth/password/forgot",
            question: "No email, or has it expired?",
        }),
    })
}

/// Page: accept an invitation
///
/// Shows a form for the link or the code of an invitation.
#[utoipa::path(
    tag = "pages",
    security(()),
    responses((status = 200, description = "The page.", body = String, content_type = "text/html",
        example = "<!doctype html><title>Choose a password</title>…"))
)]
#[get("/accept-invitation")]
async fn accept_invitation_page(pages: Data<Pages>) -> Result<HttpResponse, Problem> {
    respond(&Page {
        product: &pages.product_name,
        title: "Choose a password",
        intro: "An administrator has created an account for you. Choose a password, and you can log in with it.",
        endpoint: "api/v1/auth/invitation/accept",
        button: "Set the password",
        result: "Password set",
        done: "Your password is set. You can log in with it now.",
        next: pages.next(),
        takes_code: true,
        password: Some(Password {
            name: "new_password",
            label: "Password",
            hint: "At least 8 characters; a few unusual words are a good choice.",
            autocomplete: "new-password",
        }),
        resend: None,
    })
}

/// Page: restore an account
///
/// Shows a button for the link in the mail about a deleted account.
#[utoipa::path(
    tag = "pages",
    security(()),
    responses((status = 200, description = "The page.", body = String, content_type = "text/html",
        example = "<!doctype html><title>Restore your account</title>…"))
)]
#[get("/restore-account")]
async fn restore_account_page(pages: Data<Pages>) -> Result<HttpResponse, Problem> {
    respond(&Page {
        product: &pages.product_name,
        title: "Restore your account",
        intro: "Your account was deleted. It comes back with everything in it, and you can log in with its password. \
               If someone else has taken your username, it comes back without it.",
        endpoint: "api/v1/auth/account/restore",
        button: "Restore the account",
        result: "Account restored",
        done: "Your account is restored. You can log in now.",
        next: pages.next(),
        takes_code: false,
        password: None,
        resend: None,
    })
}

/// Page: end a session
///
/// Shows a button for the link in the mail about a log-in from a new device. Opening the page ends nothing.
#[utoipa::path(
    tag = "pages",
    security(()),
    responses((status = 200, description = "The page.", body = String, content_type = "text/html",
        example = "<!doctype html><title>End a log-in</title>…"))
)]
#[get("/end-session")]
async fn end_session_page(pages: Data<Pages>) -> Result<HttpResponse, Problem> {
    respond(&Page {
        product: &pages.product_name,
        title: "End a log-in",
        intro: "This ends the log-in that the email is about. Your other log-ins and your password stay as they are.",
        endpoint: "api/v1/auth/session/end",
        button: "End this log-in",
        result: "Log-in ended",
        done: "The log-in has ended. If it was not yours, someone else knows your password: choose another one, \
               which ends all log-ins.",
        next: Next { label: "Choose another password", href: "reset-password" },
        takes_code: false,
        password: None,
        resend: None,
    })
}

/// Page: end alerts
///
/// Shows a button for the link in the mail about alerts. Opening the page deletes nothing.
#[utoipa::path(
    tag = "pages",
    security(()),
    responses((status = 200, description = "The page.", body = String, content_type = "text/html",
        example = "<!doctype html><title>Delete alerts</title>…"))
)]
#[get("/end-alerts")]
async fn end_alerts_page(pages: Data<Pages>) -> Result<HttpResponse, Problem> {
    respond(&Page {
        product: &pages.product_name,
        title: "Delete alerts",
        intro: "This deletes the alerts that the email is about, so that you get no more emails about them. Your other \
               alerts stay.",
        endpoint: "api/v1/alerts/end",
        button: "Delete the alerts",
        result: "Alerts deleted",
        done: "You get no more emails about these alerts.",
        next: pages.next(),
        takes_code: false,
        password: None,
        resend: None,
    })
}

/// Page: confirm a change of the email address
///
/// Shows a form for the link or the code in the mail to the new address.
#[utoipa::path(
    tag = "pages",
    security(()),
    responses((status = 200, description = "The page.", body = String, content_type = "text/html",
        example = "<!doctype html><title>Confirm your new email address</title>…"))
)]
#[get("/confirm-email-change")]
async fn confirm_email_change_page(pages: Data<Pages>) -> Result<HttpResponse, Problem> {
    respond(&Page {
        product: &pages.product_name,
        title: "Confirm your new email address",
        intro: "An existing account gets this email address. The person who created that account knows its \
               password, and may be able to take the account back for 7 days. Continue only if the account is yours \
               and you asked for the change.",
        endpoint: "api/v1/auth/email/change/confirm",
        button: "Confirm new email",
        result: "Email address changed",
        done: "is now the address of your account.",
        next: pages.next(),
        takes_code: true,
        password: None,
        resend: None,
    })
}

/// Page: undo a change of the email address
///
/// Shows a button for the link in the mail to the old address.
#[utoipa::path(
    tag = "pages",
    security(()),
    responses((status = 200, description = "The page.", body = String, content_type = "text/html",
        example = "<!doctype html><title>Undo the change of your email address</title>…"))
)]
#[get("/undo-email-change")]
async fn undo_email_change_page(pages: Data<Pages>) -> Result<HttpResponse, Problem> {
    respond(&Page {
        product: &pages.product_name,
        title: "Undo the change of your email address",
        intro: "Your account gets its old address back, and all its sessions end.",
        endpoint: "api/v1/auth/email/change/undo",
        button: "Undo the change",
        result: "Change undone",
        done: "is the address of your account again. We mailed a link for a new password to it: if you did not make \
               the change, someone else knows the current password.",
        next: pages.next(),
        takes_code: false,
        password: None,
        resend: None,
    })
}

/// Page: unlock log-in
///
/// Shows a button for the link in the mail about stopped log-ins.
#[utoipa::path(
    tag = "pages",
    security(()),
    responses((status = 200, description = "The page.", body = String, content_type = "text/html",
        example = "<!doctype html><title>Log in from here again</title>…"))
)]
#[get("/unlock-login")]
async fn unlock_login_page(pages: Data<Pages>) -> Result<HttpResponse, Problem> {
    respond(&Page {
        product: &pages.product_name,
        title: "Log in from here again",
        intro: "This allows log-in from the network that you are using now. Wrong passwords from other places will \
               not stop it again.",
        endpoint: "api/v1/auth/login/unlock",
        button: "Let me log in here",
        result: "Log-in allowed",
        done: "You can log in from here now.",
        next: pages.next(),
        takes_code: false,
        password: None,
        resend: None,
    })
}

/// Script and style of the pages
///
/// Returns a file that the pages load. They load nothing else, and nothing from other hosts.
#[utoipa::path(
    tag = "pages",
    security(()),
    params(("file" = String, Path, description = "`flow.css` or `flow.js`.", example = "flow.css")),
    responses(
        (status = 200, description = "The file.", content(
            (String = "text/css", example = ":root { color-scheme: light dark; }"),
            (String = "text/javascript", example = "const form = document.querySelector('form');")
        )),
        (status = 404, description = "`not-found`: no such file.")
    )
)]
#[get("/pages/{file}")]
async fn page_asset(path: Path<String>) -> Result<HttpResponse, Problem> {
    let known = ASSETS.iter().find(|(name, ..)| *name == path.0);
    let (_, content_type, text) = known.ok_or_else(|| Problem::new(&kind::NOT_FOUND))?;
    Ok(HttpResponse::Ok()
        .content_type(*content_type)
        .insert_header((header::CACHE_CONTROL, "public, max-age=300"))
        .body(*text))
}
