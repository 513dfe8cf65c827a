//! Answers `GET /api/v1/users.csv` and `GET /api/v1/users.ndjson`: returns all accounts that match, for admins.

use actix_web::{HttpResponse, get, web::Data};
use futures_util::{FutureExt, future::LocalBoxFuture};

use super::{
    csv,
    list::ListUsers,
    model::User,
    store::{self, Filter},
};
use crate::{
    audit::{Event, EventKind},
    clock::Clock,
    db::{Db, DbError, UserId},
    http::{
        Problem, Query, page,
        rows::{self, Batch, NDJSON, respond_rows, write_json_line},
    },
    tokens::{Admin, Client},
};

/// An export of one account.
const CSV_EXAMPLE: &str = "id,email,email_confirmed,username,name,role,status,disabled_reason,created_at,updated_at,purge_at,\
    login_count,current_login_at,current_login_address,last_login_at,last_login_address,avatar_url\r\n\
    0199f3b0-5b0a-7cc0-b1c5-4cbbf3a3b0f1,ada@example.com,true,ada,Ada Lovelace,user,active,,2026-11-20T09:30:00Z,\
    2026-11-20T09:30:00Z,,7,2026-11-20T09:30:00Z,203.0.113.9,2026-11-20T09:30:00Z,203.0.113.9,\r\n";

/// An export of one account.
const NDJSON_EXAMPLE: &str = concat!(
    r#"{"id":"0199f3b0-5b0a-7cc0-b1c5-4cbbf3a3b0f1","email":"ada@example.com","email_confirmed":true,"#,
    r#""username":"ada","name":"Ada Lovelace","avatar_url":null,"role":"user","status":"active","#,
    r#""disabled_reason":null,"created_at":"2026-11-20T09:30:00Z","updated_at":"2026-11-20T09:30:00Z","#,
    r#""purge_at":null,"login_count":7,"current_login_at":"2026-11-20T09:30:00Z","#,
    r#""current_login_address":"203.0.113.9","last_login_at":null,"last_login_address":null}"#,
    "\n"
);

/// Download users as a table
///
/// Returns all accounts that match, as CSV (RFC 4180) with a heading, for admins. The response is sent while the accounts
/// are read: one that breaks off is incomplete.
#[utoipa::path(
    tag = "users",
    security(("admin" = [])),
    params(ListUsers),
    responses(
        (status = 200, description = "The accounts.", body = String, content_type = "text/csv",
            example = json!(CSV_EXAMPLE)),
        (status = 403, description = "`forbidden`: not an admin.")
    )
)]
#[get("/users.csv")]
pub async fn export_users_csv(
    admin: Admin,
    client: Client,
    query: Query<ListUsers>,
    db: Data<Db>,
    clock: Data<Clock>,
) -> Result<HttpResponse, Problem> {
    let fetch = begin(&admin, &client, query.0, db, &clock).await?;
    respond_rows("text/csv; charset=utf-8; header=present", csv::heading(), fetch, csv::write).await
}

/// Download users as NDJSON
///
/// Returns all accounts that match, one JSON object a line (NDJSON), for admins. The response is sent while the accounts
/// are read: one that breaks off is incomplete.
#[utoipa::path(
    tag = "users",
    security(("admin" = [])),
    params(ListUsers),
    responses(
        (status = 200, description = "The accounts.", body = String, content_type = "application/x-ndjson",
            example = json!(NDJSON_EXAMPLE)),
        (status = 403, description = "`forbidden`: not an admin.")
    )
)]
#[get("/users.ndjson")]
pub async fn export_users_ndjson(
    admin: Admin,
    client: Client,
    query: Query<ListUsers>,
    db: Data<Db>,
    clock: Data<Clock>,
) -> Result<HttpResponse, Problem> {
    let fetch = begin(&admin, &client, query.0, db, &clock).await?;
    respond_rows(NDJSON, Vec::new(), fetch, write_json_line::<User>).await
}

/// Records the export, and returns what reads the batch of accounts after one.
async fn begin(
    admin: &Admin,
    client: &Client,
    query: ListUsers,
    db: Data<Db>,
    clock: &Clock,
) -> Result<
    impl Fn(Option<UserId>) -> LocalBoxFuture<'static, Result<Batch<User, UserId>, DbError>> + use<>,
    Problem,
> {
    page::refuse_limit(query.limit)?;
    let cursor = query.after();
    let filter = query.filter()?;
    let exported = Event::by_user(EventKind::UsersExported, &admin.0, client);
    let now = clock.now();
    db.query(move |conn| exported.record(conn, now)).await?;
    Ok(move |after: Option<UserId>| batch(db.clone(), filter.clone(), after.or(cursor)).boxed_local())
}

async fn batch(db: Data<Db>, filter: Filter, after: Option<UserId>) -> Result<Batch<User, UserId>, DbError> {
    let limit = i64::from(rows::BATCH) + 1;
    let rows = db.query(move |conn| store::list(conn, &filter, after, limit)).await?;
    let (rows, next) = page::cut(rows, rows::BATCH, |user| user.id.0);
    Ok((rows, next.map(|cursor| UserId(cursor.0))))
}
