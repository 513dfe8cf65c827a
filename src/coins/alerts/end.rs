//! Deletes the alerts of a mail, by the link in it.

use actix_web::{HttpRequest, HttpResponse, post, web::Data};
use serde::Deserialize;
use utoipa::{IntoParams, ToSchema};
use validator::Validate;

use super::{
    ending::{EndKeys, MAX_TOKEN},
    store,
};
use crate::{
    db::Db,
    http::{Json, Problem, Query, kind},
    limits::Limits,
    tokens::Client,
};

#[derive(Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"token": "c7iH9dwFrOmMwKWrVCSCUsTw3QpSGpYQoaVmyAkrA2ABmPOwWwp8wLHFTLvzo7Dx"}))]
pub struct EndAlerts {
    /// From the link in the mail; at most 576 characters.
    #[schema(max_length = 576)]
    #[validate(length(max = MAX_TOKEN, message = "must have at most 576 characters"))]
    token: String,
}

/// End the alerts of a mail
///
/// Deletes the alerts that a mail has reported. Needs no access token: the token in the mail's link permits to delete these
/// alerts, and nothing else. It does not expire, and alerts that are deleted already are no error.
#[utoipa::path(
    tag = "alerts",
    security(()),
    responses(
        (status = 204, description = "The alerts are deleted."),
        (status = 422, description = "`validation-failed`, `invalid-code`."),
        (status = 429, description = "`too-many-requests`: too many tokens that are not valid.")
    )
)]
#[post("/alerts/end")]
pub async fn end_alerts(
    req: HttpRequest,
    client: Client,
    body: Json<EndAlerts>,
    keys: Data<EndKeys>,
    db: Data<Db>,
    limits: Data<Limits>,
) -> Result<HttpResponse, Problem> {
    end(&body.0.token, &req, &client, &keys, &db, &limits).await
}

#[derive(Deserialize, Validate, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct EndByMail {
    /// From the header `List-Unsubscribe` of the mail; at most 576 characters.
    #[param(max_length = 576, example = "c7iH9dwFrOmMwKWrVCSCUsTw3QpSGpYQoaVmyAkrA2ABmPOwWwp8wLHFTLvzo7Dx")]
    #[validate(length(max = MAX_TOKEN, message = "must have at most 576 characters"))]
    token: String,
}

/// End the alerts of a mail with one click
///
/// Deletes the alerts that a mail has reported, when a person presses "Unsubscribe" in a mail program (RFC 8058). The token
/// is in the address because the standard requires it. The body `List-Unsubscribe=One-Click` is not read.
#[utoipa::path(
    tag = "alerts",
    security(()),
    params(EndByMail),
    responses(
        (status = 204, description = "The alerts are deleted."),
        (status = 400, description = "`malformed-query`."),
        (status = 422, description = "`validation-failed`, `invalid-code`."),
        (status = 429, description = "`too-many-requests`: too many tokens that are not valid.")
    )
)]
#[post("/end-alerts")]
pub async fn end_alerts_by_mail(
    req: HttpRequest,
    client: Client,
    query: Query<EndByMail>,
    keys: Data<EndKeys>,
    db: Data<Db>,
    limits: Data<Limits>,
) -> Result<HttpResponse, Problem> {
    end(&query.0.token, &req, &client, &keys, &db, &limits).await
}

async fn end(
    token: &str,
    req: &HttpRequest,
    client: &Client,
    keys: &EndKeys,
    db: &Db,
    limits: &Limits,
) -> Result<HttpResponse, Problem> {
    let Some(alerts) = keys.alerts(token) else {
        // Mail programs of many people share an address, so valid tokens do not count.
        limits.requests.count_address(req, limits.rates.auth, client.address).await?;
        return Err(Problem::new(&kind::INVALID_CODE).field("/token", "invalid", "is not from a mail"));
    };
    db.query(move |conn| store::end(conn, &alerts)).await?;
    Ok(HttpResponse::NoContent().finish())
}
