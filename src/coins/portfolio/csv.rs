//! Answers `GET /api/v1/user/portfolio/transactions.csv`: writes all transactions as a table.

use std::{collections::HashMap, fmt::Write};

use actix_web::{
    HttpResponse, get,
    http::header::{self, HeaderValue},
    web::Data,
};

use super::{model::Transaction, store};
use crate::{
    db::{CoinId, Db},
    http::{Problem, csv_cell},
    market::Identity,
    tokens::{Allowed, api_keys::PortfolioRead},
};

/// The columns of an export. An import reads the same.
pub const COLUMNS: [&str; 7] = ["day", "kind", "coin", "symbol", "amount", "total", "currency"];

/// Download your transactions
///
/// Returns all transactions as CSV (RFC 4180) in the order of their days. `coin` is the coin's id.
/// `POST /user/portfolio/import` reads the same format.
#[utoipa::path(
    tag = "portfolio",
    security(("bearer" = []), ("apiKey" = [])),
    responses((status = 200, description = "The table.", body = String, content_type = "text/csv",
        example = "day,kind,coin,symbol,amount,total,currency\r\n2026-03-01,buy,1,BTC,0.25,15000,GBP\r\n"))
)]
#[get("/user/portfolio/transactions.csv")]
pub async fn export_transactions(me: Allowed<PortfolioRead>, db: Data<Db>) -> Result<HttpResponse, Problem> {
    let (transactions, coins) =
        db.query_tx(move |conn| Ok((store::all(conn, me.id)?, store::coins(conn, me.id)?))).await?;
    Ok(HttpResponse::Ok()
        .content_type("text/csv; charset=utf-8; header=present")
        .insert_header((
            header::CONTENT_DISPOSITION,
            HeaderValue::from_static("attachment; filename=\"transactions.csv\""),
        ))
        .body(table(&transactions, &coins)))
}

fn table(transactions: &[Transaction], coins: &HashMap<CoinId, Identity>) -> String {
    let mut text = COLUMNS.join(",") + "\r\n";
    for Transaction { coin, kind, amount, total, currency, day, .. } in transactions {
        let symbol = coins.get(coin).map_or("", |coin| &coin.symbol);
        let (kind, symbol) = (kind.as_str(), csv_cell(symbol));
        let _ = write!(text, "{day},{kind},{coin},{symbol},{amount},{total},{currency}\r\n");
    }
    text
}
