//! Reads a transaction of the user.

use actix_web::{
    get,
    web::{Data, Json},
};
use uuid::Uuid;

use super::{model::Transaction, store};
use crate::{
    db::Db,
    http::{Path, Problem},
    tokens::{Allowed, api_keys::PortfolioRead},
};

/// Read a transaction
///
/// Returns one transaction of your portfolio.
#[utoipa::path(
    tag = "portfolio",
    security(("bearer" = []), ("apiKey" = [])),
    params(("id" = Uuid, Path, description = "The id of the transaction.", example = "0199f3b0-5b0a-7cc0-b1c5-4cbbf3a3b0f1")),
    responses(
        (status = 200, description = "The transaction.", body = Transaction),
        (status = 404, description = "`not-found`: you have no such transaction.")
    )
)]
#[get("/user/portfolio/transactions/{id}")]
pub async fn read_transaction(
    me: Allowed<PortfolioRead>,
    path: Path<Uuid>,
    db: Data<Db>,
) -> Result<Json<Transaction>, Problem> {
    let id = path.0;
    Ok(Json(db.query(move |conn| store::read(conn, me.id, id)).await?))
}
