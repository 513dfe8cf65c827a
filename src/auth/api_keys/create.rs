//! Answers `POST /api/v1/user/api-keys`: creates an API key of the current user.

use actix_web::{HttpRequest, HttpResponse, post, web::Data};
use chrono::{DateTime, SubsecRound, TimeDelta, Utc};
use diesel::PgConnection;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use validator::Validate;

use super::model::ApiKey;
use crate::{
    audit::{Event, EventKind},
    auth::{
        Auth, challenges,
        mails::{Origin, SessionAct, SessionMail},
    },
    db::{ApiKeyId, id_at},
    http::{Json, Problem, kind},
    idempotency::{IdempotencyKey, Reply},
    jobs,
    limits::Limits,
    tokens::{
        Client, CurrentUser, Refusal, Role,
        api_keys::{self, MAX_KEYS, NewKey, NewSecret, Scope},
    },
    users::{self, check_name},
};

const MAX_LIFETIME: TimeDelta = TimeDelta::days(366);

#[derive(Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"name": "Price bot", "scopes": ["coins:read"], "expires_at": null}))]
pub struct CreateApiKey {
    /// 1 to 100 characters, at least one of them a letter, number, sign or symbol. Control characters and invisible
    /// characters are refused.
    #[schema(min_length = 1, max_length = 100, pattern = r"\S")]
    #[validate(custom(function = "check_name"))]
    name: String,
    /// What the key allows: 1 to 9 scopes. Repeated ones count once. Only admins may create keys with `tokens:introspect`.
    #[schema(inline, min_items = 1, max_items = 9)]
    #[validate(length(min = 1, max = 9, message = "must have 1 to 9 scopes"))]
    scopes: Vec<Scope>,
    /// When the key expires: at most 1 year (366 days) from now. Without it the key does not expire.
    expires_at: Option<DateTime<Utc>>,
}

#[derive(Serialize, ToSchema)]
pub struct CreatedApiKey {
    /// The key. It is shown only here: store it now. `mtg_`, then 36 letters and digits, the last 6 of them a checksum.
    #[schema(example = "mtg_01234567890example01234567890example", pattern = "^mtg_[0-9A-Za-z]{36}$")]
    key: String,
    #[serde(flatten)]
    of: ApiKey,
}

/// Create an API key
///
/// Creates a key for a program of yours, with only the rights that it needs, and returns it once. At most 20 keys. Send it
/// as `X-Api-Key`, or as a bearer token. A key works until it expires or is revoked, also after you log out or change your
/// password.
#[utoipa::path(
    tag = "api-keys",
    security(("bearer" = [])),
    params((
        "Idempotency-Key" = Option<String>, Header,
        description = "A new value for each new key, such as a UUID. A request that is repeated with the same value and body \
            within 24 hours gets the same response, with the same key.",
    )),
    responses(
        (status = 201, description = "The key.", body = CreatedApiKey,
            headers(("Idempotency-Replayed" = bool, description = "`true` if an earlier response is repeated."))),
        (status = 403, description = "`insufficient-scope`; `forbidden`: a scope is for keys of admins only."),
        (status = 409, description = "`limit-reached`: you have 20 keys, the maximum. `idempotency-key-in-use`."),
        (status = 422, description = "`validation-failed`, `idempotency-key-reused`.")
    )
)]
#[post("/user/api-keys")]
pub async fn create_api_key(
    me: CurrentUser,
    req: HttpRequest,
    client: Client,
    body: Json<CreateApiKey>,
    auth: Data<Auth>,
) -> Result<HttpResponse, Problem> {
    let idempotency_key = IdempotencyKey::of(&req, me.id)?;
    auth.limits.requests.count(&req, auth.limits.rates.changes, me.id.0.as_u128()).await?;
    let Json(CreateApiKey { name, scopes, expires_at }) = body;
    let is_for_admins = scopes.iter().any(|scope| scope.is_for_admins());
    // The precision of the database.
    let now = auth.now().trunc_subsecs(6);
    if expires_at.is_some_and(|at| at <= now || at > now + MAX_LIFETIME) {
        return Err(Problem::invalid(
            "/expires_at",
            "range",
            "must be in the future, at most 366 days from now",
        ));
    }
    let new = NewKey {
        id: ApiKeyId(id_at(now)),
        user: me.id,
        name: name.trim().to_owned(),
        scopes: scopes.into_iter().collect(),
        expires_at: expires_at.map(|at| at.trunc_subsecs(6)),
        created_at: now,
    };
    let limits = auth.limits.clone();
    let create = move |conn: &mut PgConnection| -> Result<Reply, Problem> {
        let role = users::lock_for_counting(conn, me.id)?.ok_or(Refusal::Revoked)?;
        // That of the token may have been changed in the meantime.
        if is_for_admins && role != Role::Admin {
            let detail = "the scope `tokens:introspect` is for keys of admins";
            return Err(Problem::new(&kind::FORBIDDEN).detail(detail));
        }
        let secret = NewSecret::random();
        let full = || Problem::new(&kind::LIMIT_REACHED).detail(format!("at most {MAX_KEYS} API keys"));
        let key = api_keys::insert(conn, &new, &secret)?.ok_or_else(full)?;
        Event::by_user(EventKind::ApiKeyCreated, &me, &client)
            .detail("key", key.prefix.as_str())
            .detail("scopes", key.scopes.as_str())
            .record(conn, now)?;
        notify(conn, &limits, (&me, &client), &key, now)?;
        Reply::created(&CreatedApiKey { key: secret.text, of: key.into() }, None)
    };
    let sealer = auth.sealer.clone();
    let reply = auth.db.tx(move |conn| idempotency_key.once(conn, &sealer, now, create)).await?;
    Ok(reply.respond())
}

/// Mails the owner about the new key, if the address is confirmed and its budget is not used up.
fn notify(
    conn: &mut PgConnection,
    limits: &Limits,
    (me, client): (&CurrentUser, &Client),
    key: &api_keys::ApiKey,
    now: DateTime<Utc>,
) -> Result<(), Problem> {
    let Some(account) = users::find_account(conn, me.id)?.filter(|account| account.email_confirmed) else {
        return Ok(());
    };
    if limits.budgets.take(conn, limits.rates.mails.new_key, account.email.canonical(), now)?.is_err() {
        return Ok(());
    }
    let challenge = challenges::open_for_session(conn, me.id, me.session, &account.email, now)?;
    let what = SessionAct::CreatedApiKey { prefix: key.prefix.clone(), scopes: key.scopes.clone() };
    let email = account.email.given().to_owned();
    jobs::enqueue(conn, &SessionMail { email, origin: Origin::of(client, now), what, challenge }, now)?;
    Ok(())
}
