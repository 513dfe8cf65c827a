//! Corrects a transaction of the user.

use actix_web::{
    put,
    web::{Data, Json as Body},
};
use uuid::Uuid;

use super::{
    super::view::View,
    body::TransactionBody,
    model::Transaction,
    store::{self, Change},
};
use crate::{
    clock::Clock,
    db::Db,
    http::{Json, Path, Problem},
    tokens::{Allowed, api_keys::PortfolioWrite},
};

/// Correct a transaction
///
/// Replaces the values of one of your transactions. The rules are those of a new transaction; it also cannot take away
/// what you sold later.
#[utoipa::path(
    tag = "portfolio",
    security(("bearer" = []), ("apiKey" = [])),
    params(("id" = Uuid, Path, description = "The id of the transaction.", example = "0199f3b0-5b0a-7cc0-b1c5-4cbbf3a3b0f1")),
    responses(
        (status = 200, description = "The corrected transaction.", body = Transaction),
        (status = 404, description = "`not-found`: you have no such transaction."),
        (status = 409, description = "`holdings-exceeded`; `limit-reached`; `ambiguous-name`: several coins have this \
            name, and `choices` lists them with their ids.")
    )
)]
#[put("/user/portfolio/transactions/{id}")]
pub async fn replace_transaction(
    me: Allowed<PortfolioWrite>,
    path: Path<Uuid>,
    body: Json<TransactionBody>,
    view: Data<View>,
    db: Data<Db>,
    clock: Data<Clock>,
) -> Result<Body<Transaction>, Problem> {
    let id = path.0;
    let before = db.query(move |conn| store::read(conn, me.id, id)).await?;
    let new = body.0.into_transaction(me.id, &view, &db, clock.now()).await?;
    let transaction = Transaction { id, created_at: before.created_at, ..new };
    let stored = transaction.clone();
    db.tx(move |conn| store::apply(conn, me.id, Change::Replace(stored))).await?;
    Ok(Body(transaction))
}
