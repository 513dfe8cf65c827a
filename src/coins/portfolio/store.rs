//! Stores transactions, and keeps a portfolio consistent: in one currency, and with no sale of more than is held.

use std::collections::HashMap;

use bigdecimal::ToPrimitive;
use diesel::{PgConnection, QueryResult, prelude::*};
use uuid::Uuid;

use super::{
    decimal::Decimal,
    model::Transaction,
    positions::{Oversold, Position, positions, trade},
};
use crate::{
    db::{
        CoinId, UserId,
        schema::{coins, portfolio_transactions as table},
    },
    http::{Problem, kind},
    market::Identity,
    tokens::Refusal,
    users,
};

/// Per user. All are read to compute a position.
pub const MAX_TRANSACTIONS: usize = 5000;
/// Different coins per user, also those that are sold. No more than this are synced.
pub const MAX_COINS: usize = 250;
const ONE_CURRENCY: &str = "must be the currency of your other transactions: a portfolio has one currency";
/// Rows that are inserted with one statement.
const BATCH: usize = 500;

/// A change of a portfolio.
pub enum Change {
    Add(Transaction),
    /// Adds the transactions of a file, in place of all others if `replaces`.
    Import {
        transactions: Vec<Transaction>,
        replaces: bool,
    },
    /// Gives the transaction with this id other values.
    Replace(Transaction),
    Delete(Uuid),
}

/// Makes a change; needs a transaction, which an error rolls back. The user's row is locked, so that concurrent requests
/// cannot sell the same coins.
///
/// # Errors
/// `not-found`; `limit-reached`; `holdings-exceeded`; `validation-failed` for another currency.
pub fn apply(conn: &mut PgConnection, user: UserId, change: Change) -> Result<(), Problem> {
    users::lock_for_counting(conn, user)?.ok_or(Refusal::Revoked)?;
    let own = table::table.filter(table::user_id.eq(user));
    match change {
        Change::Add(transaction) => insert(conn, user, &[transaction])?,
        Change::Import { transactions, replaces } => {
            if replaces {
                diesel::delete(own).execute(conn)?;
            }
            insert(conn, user, &transactions)?;
        }
        Change::Replace(transaction) => {
            let one = own.filter(table::id.eq(transaction.id));
            found(diesel::update(one).set(&transaction).execute(conn)?)?;
        }
        Change::Delete(id) => found(diesel::delete(own.filter(table::id.eq(id))).execute(conn)?)?,
    }
    check(&all(conn, user)?)
}

fn insert(conn: &mut PgConnection, user: UserId, transactions: &[Transaction]) -> QueryResult<()> {
    for batch in transactions.chunks(BATCH) {
        let rows: Vec<_> = batch.iter().map(|one| (table::user_id.eq(user), one)).collect();
        diesel::insert_into(table::table).values(rows).execute(conn)?;
    }
    Ok(())
}

fn found(rows: usize) -> Result<(), Problem> {
    if rows == 0 { Err(Problem::new(&kind::NOT_FOUND)) } else { Ok(()) }
}

/// Checks the whole portfolio of a user.
fn check(transactions: &[Transaction]) -> Result<(), Problem> {
    let full = |detail: String| Err(Problem::new(&kind::LIMIT_REACHED).detail(detail));
    if transactions.len() > MAX_TRANSACTIONS {
        return full(format!("at most {MAX_TRANSACTIONS} transactions"));
    }
    if let Some(first) = transactions.first()
        && transactions.iter().any(|one| one.currency != first.currency)
    {
        return Err(Problem::invalid("/currency", "other-currency", ONE_CURRENCY));
    }
    let mut positions: HashMap<CoinId, Position> = HashMap::new();
    for one in transactions {
        let position = positions.entry(one.coin).or_default();
        position.add(&trade(one)).map_err(|Oversold| {
            let (Transaction { coin, amount, day, .. }, held) = (one, Decimal(position.amount.clone()));
            let detail = format!("a sale of {amount} of the coin {coin} on {day}, when {held} was held");
            Problem::new(&kind::HOLDINGS_EXCEEDED).detail(detail)
        })?;
    }
    if positions.len() > MAX_COINS {
        return full(format!("at most {MAX_COINS} coins"));
    }
    Ok(())
}

/// Returns all transactions in the order in which they count.
pub fn all(conn: &mut PgConnection, user: UserId) -> QueryResult<Vec<Transaction>> {
    table::table
        .filter(table::user_id.eq(user))
        .order((table::day, table::kind, table::id))
        .select(Transaction::as_select())
        .limit(i64::try_from(MAX_TRANSACTIONS + 1).expect("small"))
        .load(conn)
}

/// Returns a page of transactions, those recorded last first.
pub fn page(
    conn: &mut PgConnection,
    user: UserId,
    before: Option<Uuid>,
    limit: i64,
) -> QueryResult<Vec<Transaction>> {
    let mut own = table::table.filter(table::user_id.eq(user)).into_boxed();
    if let Some(before) = before {
        own = own.filter(table::id.lt(before));
    }
    own.order(table::id.desc()).limit(limit).select(Transaction::as_select()).load(conn)
}

pub fn read(conn: &mut PgConnection, user: UserId, id: Uuid) -> QueryResult<Transaction> {
    table::table.find(id).filter(table::user_id.eq(user)).select(Transaction::as_select()).first(conn)
}

/// Returns how much of each coin is held.
pub fn held(conn: &mut PgConnection, user: UserId) -> QueryResult<Vec<(CoinId, f64)>> {
    let positions = positions(&all(conn, user)?);
    let amounts =
        positions.into_iter().filter_map(|(coin, position)| Some((coin, position.amount.to_f64()?)));
    Ok(amounts.filter(|(_, amount)| *amount > 0.0).collect())
}

/// Returns the currency of a user's transactions; None without one.
pub fn currency(conn: &mut PgConnection, user: UserId) -> QueryResult<Option<String>> {
    table::table.filter(table::user_id.eq(user)).select(table::currency).first(conn).optional()
}

/// Returns the names of the coins of a user's transactions.
pub fn coins(conn: &mut PgConnection, user: UserId) -> QueryResult<HashMap<CoinId, Identity>> {
    let own = table::table.filter(table::user_id.eq(user)).select(table::coin_id).distinct();
    let coins: Vec<Identity> =
        coins::table.filter(coins::id.eq_any(own)).select(Identity::as_select()).load(conn)?;
    Ok(coins.into_iter().map(|coin| (coin.id, coin)).collect())
}
