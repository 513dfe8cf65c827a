//! Lists the user's transactions.

use actix_web::{
    get,
    web::{Data, Json},
};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use validator::Validate;

use super::{model::Transaction, store};
use crate::{
    db::Db,
    http::{
        Problem, Query,
        page::{self, Cursor, DEFAULT_LIMIT, MAX_LIMIT},
    },
    tokens::{Allowed, api_keys::PortfolioRead},
};

#[derive(Deserialize, Validate, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ListTransactions {
    /// Maximum number of transactions on a page.
    #[serde(default = "default_limit")]
    #[param(minimum = 1, maximum = 100, default = 20)]
    #[validate(range(min = 1, max = MAX_LIMIT, message = "must be from 1 to 100"))]
    limit: u32,
    /// `next_cursor` of the previous page.
    #[param(value_type = Option<String>, pattern = "^[A-Za-z0-9_-]{21}[AQgw]$")]
    cursor: Option<Cursor>,
}

fn default_limit() -> u32 {
    DEFAULT_LIMIT
}

#[derive(Serialize, ToSchema)]
pub struct TransactionList {
    /// Those recorded last come first.
    data: Vec<Transaction>,
    /// Pass it as `cursor` to get the next page. Null on the last page.
    #[schema(value_type = Option<String>, example = "AZnzsFsKfMCxxUy786Ow8Q")]
    next_cursor: Option<Cursor>,
}

/// List your transactions
///
/// Lists the transactions of your portfolio, those recorded last first. For all of them in the order of their days use
/// `GET /user/portfolio/transactions.csv`.
#[utoipa::path(
    tag = "portfolio",
    security(("bearer" = []), ("apiKey" = [])),
    params(ListTransactions),
    responses((status = 200, description = "A page of transactions.", body = TransactionList))
)]
#[get("/user/portfolio/transactions")]
pub async fn list_transactions(
    me: Allowed<PortfolioRead>,
    query: Query<ListTransactions>,
    db: Data<Db>,
) -> Result<Json<TransactionList>, Problem> {
    let Query(ListTransactions { limit, cursor }) = query;
    let before = cursor.map(|cursor| cursor.0);
    let rows = db.query(move |conn| store::page(conn, me.id, before, i64::from(limit) + 1)).await?;
    let (data, next_cursor) = page::cut(rows, limit, |one| one.id);
    Ok(Json(TransactionList { data, next_cursor }))
}
