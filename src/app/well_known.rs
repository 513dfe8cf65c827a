//! `GET /.well-known/security.txt` (RFC 9116) and `GET /.well-known/change-password` (W3C).

use std::fmt::Write;

use actix_web::{
    HttpResponse, get,
    http::header::{CACHE_CONTROL, LOCATION},
    web::Data,
};
use chrono::{DateTime, NaiveTime, SecondsFormat, TimeDelta, Utc};

use crate::{
    clock::Clock,
    config::Config,
    http::{Problem, kind},
};

/// How long a client may rely on the file. RFC 9116, section 2.5.5, recommends less than a year.
const VALIDITY: TimeDelta = TimeDelta::days(180);
const CACHED_FOR_A_DAY: (actix_web::http::header::HeaderName, &str) =
    (CACHE_CONTROL, "public, max-age=86400");

/// The contents of both, from the settings.
pub struct WellKnown {
    /// URIs; none if vulnerabilities cannot be reported.
    contacts: Vec<String>,
    public_url: String,
    change_password: String,
}

impl WellKnown {
    pub fn new(config: &Config) -> Self {
        let server = &config.server;
        let app = config.mail.app_url.as_ref().unwrap_or(&server.public_url);
        let page = || format!("{app}/reset-password");
        Self {
            contacts: server.security_contact.clone(),
            public_url: server.public_url.clone(),
            change_password: server.change_password_url.clone().unwrap_or_else(page),
        }
    }

    /// The file, whose date changes once a day.
    fn security_txt(&self, now: DateTime<Utc>) -> String {
        let mut text = String::new();
        for contact in &self.contacts {
            let _ = writeln!(text, "Contact: {contact}");
        }
        let expires = (now + VALIDITY).date_naive().and_time(NaiveTime::MIN).and_utc();
        let _ = writeln!(text, "Expires: {}", expires.to_rfc3339_opts(SecondsFormat::Secs, true));
        let _ = writeln!(text, "Preferred-Languages: en");
        let _ = writeln!(text, "Canonical: {}/.well-known/security.txt", self.public_url);
        text
    }
}

/// Where to report vulnerabilities
///
/// Returns the addresses of `SECURITY_CONTACT` as RFC 9116 asks for. Without that setting it is a 404.
#[utoipa::path(
    tag = "system",
    security(()),
    responses(
        (status = 200, description = "The file (RFC 9116).", body = String, content_type = "text/plain",
            example = "Contact: mailto:security@example.com\nExpires: 2027-05-20T00:00:00Z\nPreferred-Languages: en\n\
                       Canonical: https://api.example.com/.well-known/security.txt\n"),
        (status = 404, description = "`not-found`: no contact is set."),
    )
)]
#[get("/.well-known/security.txt")]
pub async fn security_txt(settings: Data<WellKnown>, clock: Data<Clock>) -> Result<HttpResponse, Problem> {
    if settings.contacts.is_empty() {
        return Err(Problem::new(&kind::NOT_FOUND));
    }
    let text = settings.security_txt(clock.now());
    Ok(HttpResponse::Ok()
        .content_type("text/plain; charset=utf-8")
        .insert_header(CACHED_FOR_A_DAY)
        .body(text))
}

/// Where to change a password
///
/// Redirects to `CHANGE_PASSWORD_URL`, so that password managers find the page. Without that setting it is the page that
/// resets a password, of `APP_URL` or the built-in one.
#[utoipa::path(
    tag = "system",
    security(()),
    responses((status = 303, description = "The page is at `Location`.",
        headers(("Location" = String, description = "The address of the page."))))
)]
#[get("/.well-known/change-password")]
pub async fn change_password_page(settings: Data<WellKnown>) -> HttpResponse {
    HttpResponse::SeeOther().insert_header((LOCATION, settings.change_password.as_str())).finish()
}
