//! Deletes a transaction of the user.

use actix_web::{HttpResponse, delete, web::Data};
use uuid::Uuid;

use super::store::{self, Change};
use crate::{
    db::Db,
    http::{Path, Problem},
    tokens::{Allowed, api_keys::PortfolioWrite},
};

/// Delete a transaction
///
/// Deletes one of your transactions, as if it had not taken place. A purchase of what you sold later cannot be deleted
/// before the sale.
#[utoipa::path(
    tag = "portfolio",
    security(("bearer" = []), ("apiKey" = [])),
    params(("id" = Uuid, Path, description = "The id of the transaction.", example = "0199f3b0-5b0a-7cc0-b1c5-4cbbf3a3b0f1")),
    responses(
        (status = 204, description = "The transaction is deleted."),
        (status = 404, description = "`not-found`: you have no such transaction."),
        (status = 409, description = "`holdings-exceeded`: a later sale needs it.")
    )
)]
#[delete("/user/portfolio/transactions/{id}")]
pub async fn delete_transaction(
    me: Allowed<PortfolioWrite>,
    path: Path<Uuid>,
    db: Data<Db>,
) -> Result<HttpResponse, Problem> {
    let id = path.0;
    db.tx(move |conn| store::apply(conn, me.id, Change::Delete(id))).await?;
    Ok(HttpResponse::NoContent().finish())
}
