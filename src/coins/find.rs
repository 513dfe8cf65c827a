//! Finds the coin that a request names.
//!
//! A request names a coin by its id, which never changes, its slug or its ticker symbol, in any case. Symbols are not
//! unique: if several coins match, the answer is a 300 that lists them, or a 409 where the request changes something. A coin
//! outside of the list can also be named by its reference, a provider and its id there, such as `coingecko:pepe`.

use diesel::PgConnection;

use super::view::View;
use crate::{
    db::{CoinId, Db},
    http::{Choice, Problem, kind},
    market::{self, Coin, Identity, Snapshot},
};

/// In bytes. No coin has a longer name or reference.
pub(super) const MAX_NAME_LEN: usize = 120;

impl Identity {
    fn choice(&self) -> Choice {
        let Self { id, symbol, name, .. } = self;
        Choice { id: id.0, title: format!("{name} ({symbol})"), href: format!("/api/v1/coins/{id}") }
    }
}

/// Finds a coin of the last sync, without a query.
///
/// # Errors
/// `ambiguous`, `not-found`.
pub(super) fn in_snapshot<'a>(snapshot: &'a Snapshot, name: &str) -> Result<&'a Coin, Problem> {
    let id = name.parse().ok().map(CoinId);
    if let Some(coin) = snapshot.coins.iter().find(|coin| Some(coin.id) == id) {
        return Ok(coin);
    }
    let name = name.to_lowercase();
    let has_name = |coin: &&Coin| coin.symbol.to_lowercase() == name || coin.slug == name;
    let (list, followed) = (snapshot.list(), &snapshot.coins[snapshot.list().len()..]);
    // A coin outside of the list does not make the name of one in it ambiguous.
    let mut found: Vec<&Coin> = list.iter().filter(has_name).collect();
    if found.is_empty() {
        found = followed.iter().filter(has_name).collect();
    }
    match found.as_slice() {
        [] => Err(Problem::new(&kind::NOT_FOUND)),
        [coin] => Ok(coin),
        several => Err(ambiguous(several.iter().map(|coin| Identity::from(*coin)))),
    }
}

/// Finds a coin of the last sync or, with a query, of an earlier one.
///
/// # Errors
/// As [`in_snapshot`].
pub(super) async fn anywhere(view: &View, db: &Db, name: &str) -> Result<Identity, Problem> {
    match in_snapshot(&view.current(None)?.snapshot, name) {
        Ok(coin) => return Ok(coin.into()),
        Err(problem) if problem.kind().code == kind::AMBIGUOUS.code => return Err(problem),
        Err(_) if name.len() > MAX_NAME_LEN || name.contains('\0') => {
            return Err(Problem::new(&kind::NOT_FOUND));
        }
        Err(_) => {}
    }
    if let Some((provider, id)) = reference(name) {
        let found = db.query(move |conn| market::find_ref(conn, provider, &id)).await?;
        return found.ok_or_else(|| Problem::new(&kind::NOT_FOUND));
    }
    let id = name.parse().ok().map(CoinId);
    let name = name.to_lowercase();
    let mut found = db.query(move |conn| market::find_coins(conn, id, &name)).await?;
    if let Some(index) = found.iter().position(|coin| Some(coin.id) == id) {
        return Ok(found.swap_remove(index));
    }
    match found.len() {
        0 => Err(Problem::new(&kind::NOT_FOUND)),
        1 => Ok(found.remove(0)),
        _ => Err(ambiguous(found.into_iter())),
    }
}

/// As [`anywhere`], for a request that makes the coin be synced: it may also be one that was never synced, by its reference.
///
/// # Errors
/// As [`anywhere`], with `ambiguous-name` instead of `ambiguous`.
pub(super) async fn to_follow(view: &View, db: &Db, name: &str) -> Result<Identity, Problem> {
    let problem = match anywhere(view, db, name).await {
        Ok(coin) => return Ok(coin),
        Err(problem) => refuse_change(problem),
    };
    match reference(name) {
        Some((provider, id)) if problem.kind().code == kind::NOT_FOUND.code => {
            let identities = view.identities.clone();
            let adopt = move |conn: &mut PgConnection| market::adopt_coin(conn, provider, &id, &identities);
            db.query_tx(adopt).await?.ok_or(problem)
        }
        _ => Err(problem),
    }
}

/// As [`to_follow`], for the member `coin` of a body.
///
/// # Errors
/// `validation-failed` if there is no such coin, `ambiguous-name`.
pub(super) async fn in_body(view: &View, db: &Db, name: &str) -> Result<CoinId, Problem> {
    match to_follow(view, db, name).await {
        Ok(coin) => Ok(coin.id),
        Err(problem) if problem.kind().code == kind::NOT_FOUND.code => {
            Err(Problem::invalid("/coin", "unknown", "must name a known coin"))
        }
        Err(problem) => Err(problem),
    }
}

/// Returns the provider, and the id of the coin there.
fn reference(name: &str) -> Option<(&'static str, String)> {
    let (provider, id) = name.split_once(':')?;
    let known = market::id_namespaces().into_iter().find(|known| known.eq_ignore_ascii_case(provider))?;
    Some((known, id.to_owned()))
}

/// Turns the 300 for a name of several coins into a 409: clients take a status below 400 for success, and the change was
/// not made.
pub(super) fn refuse_change(problem: Problem) -> Problem {
    if problem.kind().code == kind::AMBIGUOUS.code { problem.of_kind(&kind::AMBIGUOUS_NAME) } else { problem }
}

fn ambiguous(coins: impl Iterator<Item = Identity>) -> Problem {
    Problem::new(&kind::AMBIGUOUS).choices(coins.map(|coin| coin.choice()).collect())
}
