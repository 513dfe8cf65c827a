//! Describes what has changed between two snapshots, for streams that ask for it.

use serde::Serialize;
use serde_json::{Map, Value};

use super::body::Provenance;
use crate::{
    db::CoinId,
    market::{Coin, Snapshot},
};

/// The data of an event `delta`.
#[derive(Serialize)]
pub struct Delta {
    #[serde(flatten)]
    pub provenance: Provenance,
    /// The id of the event to which the changes apply.
    pub base: String,
    /// Coins that have changed, by rank: their `id` and the members that differ; all members of a new coin.
    pub data: Vec<Map<String, Value>>,
    /// Ids of coins that have left the list.
    pub removed: Vec<CoinId>,
}

impl Delta {
    pub fn between(old: &Snapshot, new: &Snapshot, base: String, provenance: Provenance) -> Self {
        let find = |coins: &[Coin], id| coins.iter().position(|coin: &Coin| coin.id == id);
        let data = new.list().iter().filter_map(|coin| match find(old.list(), coin.id) {
            None => Some(members(coin)),
            Some(place) => changed_members(&old.list()[place], coin),
        });
        let data = data.collect();
        let gone = old.list().iter().map(|coin| coin.id).filter(|id| find(new.list(), *id).is_none());
        Self { provenance, base, data, removed: gone.collect() }
    }
}

/// Returns the id and the members that differ; None if nothing does. Social figures that are stale always count as
/// different: `social.stale` changes without an event, so the client may have the other value.
fn changed_members(old: &Coin, new: &Coin) -> Option<Map<String, Value>> {
    let is_stale = new.social.as_ref().is_some_and(|social| social.stale);
    if old == new && !is_stale {
        return None;
    }
    let before = members(old);
    let is_kept = |name: &str, value: &Value| {
        name == "id" || before.get(name) != Some(value) || (is_stale && name == "social")
    };
    Some(members(new).into_iter().filter(|(name, value)| is_kept(name, value)).collect())
}

fn members(coin: &Coin) -> Map<String, Value> {
    match serde_json::to_value(coin) {
        Ok(Value::Object(members)) => members,
        other => unreachable!("a coin is an object: {other:?}"),
    }
}
