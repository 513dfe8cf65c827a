//! Answers `POST /api/v1/users/import`: imports accounts of another system, for admins.

mod file;
mod run;

use std::time::Duration;

use actix_web::{
    HttpMessage, HttpRequest, HttpResponse,
    http::header,
    mime::Mime,
    post,
    web::{Bytes, Data, Payload},
};
use aws_lc_rs::digest::{Context, SHA256};
use diesel::{Connection, PgConnection, result::Error};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use validator::Validate;

pub use self::{
    file::Format,
    run::{Import, OnConflict, Report, import},
};
use crate::{
    audit::Event,
    auth::{Auth, admission},
    db,
    http::{BodyDigest, BodyLimits, Problem, Query, kind, rows::NDJSON},
    idempotency::{IdempotencyKey, Reply},
    tokens::{Admin, Client},
};

/// In bytes.
pub const MAX_FILE: usize = 16 * 1024 * 1024;
const LIMITS: BodyLimits =
    BodyLimits { size: MAX_FILE, time: Duration::from_mins(1), cut_off: &kind::MALFORMED_BODY };
/// What the transaction of the largest file may take, on a slow disk.
const MAX_TIME: Duration = Duration::from_mins(2);

#[derive(Deserialize, Validate, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ImportUsers {
    /// Whether to do everything but keep the accounts. The response is that of the import.
    #[serde(default)]
    #[param(default = false)]
    dry_run: bool,
    /// What to do with a line whose address or username an account has: `fail` refuses the file, `skip` leaves the line
    /// out, so that a file can be sent again.
    #[serde(default)]
    #[param(inline)]
    on_conflict: OnConflict,
    /// Whether lines with the role `admin` are accepted.
    #[serde(default)]
    #[param(default = false)]
    allow_admins: bool,
    /// Whether to mail an invitation to the accounts without a password; at most 5,000. Otherwise these people use
    /// `POST /api/v1/auth/password/forgot`.
    #[serde(default)]
    #[param(default = false)]
    invite: bool,
}

/// A line of the file. In CSV, the first line names the columns, and an empty cell is an absent value.
#[derive(ToSchema)]
#[schema(value_type = String, max_length = 16_777_216, example = "email,username,password_hash\r\nada@example.com,ada,$2b$12$…\r\n")]
#[expect(dead_code, reason = "only documented")]
pub struct ImportFile(String);

/// What an import did.
#[derive(Clone, Copy, Serialize, ToSchema)]
pub struct ImportReport {
    /// Whether nothing was kept.
    #[schema(example = false)]
    dry_run: bool,
    #[serde(flatten)]
    report: Report,
}

/// Import users
///
/// For admins. Creates the accounts of a file: CSV with a heading, or one JSON object a line. All or none are created; a
/// file with errors is refused, and `errors` lists the first 100 with the number of the line and the field as `pointer`,
/// such as `/17/email`. At most 16 MiB and 50,000 lines; one import at a time for each server.
///
/// The fields: `email` (required), `username`, `name`, `role`, `email_confirmed`, `password_hash`, `created_at` (RFC
/// 3339), `disabled`. The rules are those of `POST /api/v1/users`. `password_hash` is a hash of another system: bcrypt
/// (`$2a$`, `$2b$`, `$2y$`, cost 14 at most), argon2id (PHC string format, 100 MiB and 10 passes at most), or PBKDF2 with
/// SHA-256 or SHA-512 (PHC string format, passlib, Django; 2,000,000 rounds at most). The first log-in replaces it. An
/// account without a hash has the status `invited`.
#[utoipa::path(
    tag = "users",
    security(("admin" = [])),
    params(
        ImportUsers,
        ("Idempotency-Key" = Option<String>, Header,
            description = "A new value for each file, such as a UUID. An import that is repeated with the same value, \
                file and parameters within 24 hours gets the same response and creates nothing twice."),
    ),
    request_body(description = "The file.", content((ImportFile = "text/csv"), (ImportFile = "application/x-ndjson"))),
    responses(
        (status = 200, description = "A dry run without errors.", body = ImportReport,
            example = json!({"dry_run": true, "lines": 1000, "created": 998, "skipped": 2, "invited": 0})),
        (status = 201, description = "The accounts are created.", body = ImportReport,
            headers(("Idempotency-Replayed" = bool, description = "`true` if an earlier response is repeated."))),
        (status = 400, description = "`malformed-body`: the body ended early."),
        (status = 403, description = "`forbidden`: not an admin; `registration-closed`."),
        (status = 409, description = "`email-taken`, `username-taken`: another request took it during the import; \
            `idempotency-key-in-use`."),
        (status = 413, description = "`payload-too-large`: more than 16 MiB."),
        (status = 415, description = "`unsupported-media-type`: neither `text/csv` nor `application/x-ndjson`."),
        (status = 422, description = "`validation-failed`: nothing was imported; `idempotency-key-reused`."),
        (status = 503, description = "`unavailable`; `overloaded`: another import is running.")
    )
)]
#[post("/users/import")]
pub async fn import_users(
    admin: Admin,
    req: HttpRequest,
    client: Client,
    query: Query<ImportUsers>,
    body: Payload,
    auth: Data<Auth>,
) -> Result<HttpResponse, Problem> {
    let Query(ImportUsers { dry_run, on_conflict, allow_admins, invite }) = query;
    admission::check_invitation(&auth.accounts.registration)?;
    let format = format_of(&req)?;
    // Before the body is read: each takes memory.
    let busy = |_| Problem::new(&kind::OVERLOADED).detail("another import is running").retry_after(5);
    let permit = auth.imports.clone().try_acquire_owned().map_err(busy)?;
    let file = LIMITS.read(&req, body.into_inner()).await?;
    remember_digest(&req, &file);
    let key = IdempotencyKey::of(&req, admin.0.id)?;
    let (now, sealer) = (auth.now(), auth.sealer.clone());
    let limits = invite.then(|| auth.limits.clone());
    let work = move |conn: &mut PgConnection| -> Result<ImportReport, Problem> {
        let _permit = permit;
        let event = |kind, user| match user {
            Some(user) => Event::by_admin(kind, &admin, &client, user),
            None => Event::by_user(kind, &admin.0, &client),
        };
        let import_it = Import {
            format,
            on_conflict,
            allow_admins,
            invite: limits.as_ref().map(Data::get_ref),
            event: &event,
        };
        import(conn, &file, &import_it, now).map(|report| ImportReport { dry_run, report })
    };
    if dry_run {
        let report = auth.db.run(move |conn| undone(conn, work));
        return Ok(HttpResponse::Ok().json(db::within_time(MAX_TIME, report).await?));
    }
    let created = move |conn: &mut PgConnection| Reply::created(&work(conn)?, None);
    let reply = auth.db.tx(move |conn| key.once(conn, &sealer, now, created));
    Ok(db::within_time(MAX_TIME, reply).await?.respond())
}

fn format_of(req: &HttpRequest) -> Result<Format, Problem> {
    let mime =
        req.mime_type().ok().flatten().filter(|_| !req.headers().contains_key(header::CONTENT_ENCODING));
    match mime.as_ref().map(Mime::essence_str) {
        Some("text/csv") => Ok(Format::Csv),
        Some(NDJSON) => Ok(Format::Ndjson),
        _ => {
            Err(Problem::new(&kind::UNSUPPORTED_MEDIA_TYPE)
                .detail("send `text/csv` or `application/x-ndjson`"))
        }
    }
}

/// Lets [`IdempotencyKey`] tell this request from one with another file or other parameters.
fn remember_digest(req: &HttpRequest, file: &Bytes) {
    let mut context = Context::new(&SHA256);
    context.update(req.query_string().as_bytes());
    context.update(b"\n");
    context.update(file);
    req.extensions_mut().insert(BodyDigest(context.finish().as_ref().to_vec()));
}

/// Does the work in a transaction and rolls it back.
pub fn undone<T>(
    conn: &mut PgConnection,
    work: impl FnOnce(&mut PgConnection) -> Result<T, Problem>,
) -> Result<T, Problem> {
    let mut done = None;
    let rolled_back = conn.transaction(|conn| -> Result<(), Problem> {
        done = Some(work(conn)?);
        Err(Error::RollbackTransaction.into())
    });
    match (done, rolled_back) {
        (None, Err(problem)) => Err(problem),
        (done, _) => done.ok_or_else(|| Problem::internal("a dry run without a result")),
    }
}
