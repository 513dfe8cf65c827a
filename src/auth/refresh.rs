use actix_web::{HttpRequest, HttpResponse, post, web::Data};
use serde::Deserialize;
use utoipa::ToSchema;
use validator::Validate;

use super::token_pair::{self, TokenPair};
use crate::{
    clock::Clock,
    config,
    db::Db,
    http::{ClientIp, Json, Problem, kind},
    tokens::{
        Activity, Blocklist, Exchanges, Jwt,
        reuse::{self, Settled},
        sessions::{Exchange, Lifetimes, Presented},
    },
};

#[derive(Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"refresh_token": "eyJ0eXAiOiJydCtqd3QiLCJhbGciOiJFZERTQSJ9.eyJpc3MiOiIuLi4ifQ.c2ln"}))]
pub struct Refresh {
    /// The newest refresh token of the session.
    refresh_token: String,
}

/// Refresh
///
/// Exchanges a refresh token for a new pair; at any time, also early. The old refresh token is
/// then used up. Sent again within 10 seconds (two tabs at once), or when the new pair was never
/// used (the response got lost), it is answered with the same successor. Sent again later, it
/// counts as stolen: the session ends.
#[utoipa::path(
    tag = "auth",
    security(()),
    responses(
        (status = 200, description = "The new tokens.", body = TokenPair),
        (status = 401, description = "`invalid-refresh-token`, `refresh-token-reused`.")
    )
)]
#[post("/auth/refresh")]
#[expect(clippy::too_many_arguments, reason = "each is an extractor")]
pub async fn refresh(
    req: HttpRequest,
    body: Json<Refresh>,
    address: ClientIp,
    exchanges: Data<Exchanges>,
    db: Data<Db>,
    jwt: Data<Jwt>,
    settings: Data<config::Tokens>,
    clock: Data<Clock>,
    activity: Data<Activity>,
    blocklist: Data<Blocklist>,
) -> Result<HttpResponse, Problem> {
    let invalid = || Problem::new(&kind::INVALID_REFRESH_TOKEN).challenge(true);
    let claims = jwt.verify_refresh(&body.0.refresh_token).map_err(|_| invalid())?;
    let times = Lifetimes::new(&settings, clock.now());
    let (session, user) = (claims.sid, claims.sub);
    let seen_here = activity.generation(session);
    let presented = Presented { claims, seen_here, client: super::client(&req, address) };
    let presented = match exchanges.exchange(presented, times.clone()).await? {
        Exchange::Granted(grant) => return token_pair::respond(&jwt, grant, &times),
        Exchange::NotNewest(presented) => presented,
    };
    let settle_times = times.clone();
    let settled = db.tx(move |conn| Ok::<_, Problem>(reuse::settle(conn, presented, &settle_times)?)).await?;
    match settled {
        Settled::Reissued(grant) => token_pair::respond(&jwt, grant, &times),
        Settled::Unknown => Err(invalid()),
        Settled::Reused(ended) => {
            blocklist.refuse(&ended);
            tracing::warn!(%user, %session, "a refresh token was used twice: the session has ended");
            Err(Problem::new(&kind::REFRESH_TOKEN_REUSED).challenge(true))
        }
    }
}
