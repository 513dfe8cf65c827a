use actix_web::{HttpResponse, post, web::Data};
use serde::Deserialize;
use utoipa::ToSchema;
use validator::Validate;

use super::{
    new_password,
    proof::{Proof, check_code, refused},
};
use crate::{
    clock::Clock,
    db::Db,
    http::{Json, Problem, RateLimits},
    passwords,
    tokens::{
        Blocklist, ChallengeKeys, CurrentUser,
        challenges::{Purpose, Whose},
    },
};

#[derive(Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"code": "123456", "new_password": "a horse of another colour"}))]
pub struct ConfirmPasswordChange {
    /// Of the mail; for 10 minutes and five tries.
    #[schema(pattern = "^[0-9]{6}$")]
    #[validate(custom(function = "check_code"))]
    code: String,
    /// 8 to 256 characters of any kind; common ones and your own address or name are refused, and so are
    /// those of this service.
    #[schema(format = "password", min_length = 8, max_length = 256)]
    #[validate(custom(function = "new_password::check"))]
    new_password: String,
}

/// Change the password: with the code
///
/// Sets the new password and ends all sessions, this one too, and whatever was pending.
#[utoipa::path(
    tag = "mail",
    security(("bearer" = [])),
    responses(
        (status = 204, description = "The password is set; log in with it."),
        (status = 422, description = "`validation-failed`, `invalid-code`."),
        (status = 429, description = "`too-many-requests`."),
        (status = 503, description = "`unavailable`, `overloaded`.")
    )
)]
#[post("/auth/password/change/confirm")]
#[expect(clippy::too_many_arguments, reason = "each is an extractor")]
pub async fn confirm_password_change(
    me: CurrentUser,
    body: Json<ConfirmPasswordChange>,
    db: Data<Db>,
    hasher: Data<passwords::Hasher>,
    policy: Data<passwords::Policy>,
    limits: Data<RateLimits>,
    keys: Data<ChallengeKeys>,
    blocklist: Data<Blocklist>,
    clock: Data<Clock>,
) -> Result<HttpResponse, Problem> {
    let Json(ConfirmPasswordChange { code, new_password }) = body;
    let now = clock.now();
    let proof = Proof::Code { whose: Whose::User(me.id), code };
    let challenge = proof.find_unused(Purpose::ChangePassword, &db, &limits, keys, now).await?.id;
    let hash = new_password::hash(new_password, me.id, &db, &hasher, &policy).await?;
    let set = db.tx(move |conn| new_password::set(conn, challenge, me.id, &hash, now)).await?;
    let (_, ended) = set.ok_or_else(|| refused("/code"))?;
    blocklist.refuse(&ended);
    Ok(HttpResponse::NoContent().finish())
}
