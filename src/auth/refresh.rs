//! Exchanges a refresh token for a new pair of tokens.

use actix_web::{HttpRequest, HttpResponse, post, web::Data};
use diesel::PgConnection;
use serde::Deserialize;
use utoipa::ToSchema;
use validator::Validate;

use super::{
    Auth,
    mails::{Notice, NoticeMail},
    token_pair::{self, TokenPair},
};
use crate::{
    audit::{Event, EventKind},
    db,
    http::{Json, Problem, kind},
    jobs,
    tokens::{
        self, Client, Exchange, Lifetimes, Presented, Refusal,
        reuse::{self, Settled},
    },
    users,
};

#[derive(Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"refresh_token": "eyJ0eXAiOiJydCtqd3QiLCJhbGciOiJFZERTQSJ9.eyJpc3MiOiIuLi4ifQ.c2ln"}))]
pub struct Refresh {
    /// The newest refresh token of the session; at most 2,048 characters.
    #[schema(max_length = 2048)]
    refresh_token: String,
}

/// Refresh the tokens
///
/// Exchanges a refresh token for a new pair of tokens, at any time before it expires. A refresh token works once:
/// keep only the new one.
///
/// A used refresh token gets the newest pair of its session in two cases:
///
/// - Within 10 seconds after its use, because two tabs may refresh at the same time. It may then be several
///   generations old.
/// - Within an hour after its use, because the response may have been lost. It must then be the one directly before
///   the newest and come from the same network (IPv4 /24, IPv6 /48) with the same `User-Agent`, and no access token
///   of the newest pair may have been used here. The newest pair is repeated once, and at most three pairs in a row.
///
/// In all other cases it counts as stolen, because two parties have it (RFC 9700 section 4.14.2): the session ends,
/// and the account's address gets a mail if it is confirmed.
#[utoipa::path(
    tag = "auth",
    security(()),
    responses(
        (status = 200, description = "The new tokens.", body = TokenPair),
        (status = 401, description = "`invalid-refresh-token`; `refresh-token-reused`: the session has ended."),
        (status = 429, description = "`too-many-requests`: the session is refreshed more than once a second.")
    )
)]
#[post("/auth/refresh")]
pub async fn refresh(
    req: HttpRequest,
    client: Client,
    body: Json<Refresh>,
    auth: Data<Auth>,
) -> Result<HttpResponse, Problem> {
    let invalid = || Problem::new(&kind::INVALID_REFRESH_TOKEN).challenge(true);
    // The key ring is followed together with the blocklist: if that is out of date, a key may have been revoked.
    if !auth.blocklist.is_current() {
        return Err(Problem::unavailable("the key ring is out of date"));
    }
    let (claims, expires_at) =
        auth.jwt.verify_refresh(&body.0.refresh_token).map_err(|refusal| match refusal {
            Refusal::Unverifiable => refusal.into(),
            _ => invalid(),
        })?;
    let times = auth.lifetimes();
    let (session, user) = (claims.sid, claims.sub);
    db::charge_to(&user);
    auth.limits.requests.count(&req, auth.limits.rates.refresh, session.0.as_u128()).await?;
    let seen_here = auth.activity.generation(session);
    let presented = Presented { claims, expires_at, seen_here, client };
    let hop_times = times.clone();
    let presented = match auth.db.query(move |conn| tokens::exchange(conn, presented, &hop_times)).await? {
        Exchange::Granted(grant) => return token_pair::respond(&auth.jwt, grant, &times),
        Exchange::NotNewest(presented) => presented,
    };
    let hop_times = times.clone();
    match auth.db.tx(move |conn| settle(conn, presented, &hop_times)).await? {
        Settled::Reissued(grant) => token_pair::respond(&auth.jwt, grant, &times),
        Settled::Unknown => Err(invalid()),
        Settled::Unclear => {
            Err(Problem::unavailable("a clock is wrong: it is not known whether the token has expired"))
        }
        Settled::Reused(reuse) => {
            reuse.ended.refuse(&auth.blocklist);
            tracing::warn!(%user, %session, "refresh token reused: session ended");
            Err(Problem::new(&kind::REFRESH_TOKEN_REUSED).challenge(true))
        }
    }
}

/// Decides about a token that is not the newest. On reuse, the transaction that ends the session also enqueues the
/// notice.
fn settle(conn: &mut PgConnection, presented: Presented, times: &Lifetimes) -> Result<Settled, Problem> {
    let (user, session, client) = (presented.claims.sub, presented.claims.sid, presented.client.clone());
    let settled = reuse::settle(conn, presented, times)?;
    // An unconfirmed address may belong to a stranger, who must not get mails.
    if let Settled::Reused(_) = &settled {
        Event::by_stranger(EventKind::RefreshTokenReused, user, &client)
            .in_session(session)
            .record(conn, times.now)?;
    }
    if let Settled::Reused(reuse) = &settled
        && let Some(account) = users::find_account(conn, user)?.filter(|account| account.email_confirmed)
    {
        let (logged_in_at, user_agent) = (reuse.logged_in_at, reuse.user_agent.clone());
        let notice = Notice::SessionReused { logged_in_at, user_agent };
        jobs::enqueue(conn, &NoticeMail::to(&account.email, notice), times.now)?;
    }
    Ok(settled)
}
