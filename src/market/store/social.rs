//! Connects snapshots and social figures: the coins to read posts about, and the figures of a slot.

use diesel::{
    PgConnection, QueryResult,
    prelude::*,
    sql_query,
    sql_types::{Array, BigInt, Double, Nullable},
};

use super::{super::model::Identity, simulation::is_simulated};
use crate::{
    db::{
        CoinId, SnapshotId,
        schema::{coin_quotes, coin_snapshots, coins},
    },
    social::{Collected, Social, Target},
};

/// Returns the coins of the newest snapshot, by rank, to read posts about them; none if the market is simulated and
/// `simulated` is not, or the other way round.
pub fn social_targets(conn: &mut PgConnection, simulated: bool) -> QueryResult<Vec<Target>> {
    if is_simulated(conn)? != simulated {
        return Ok(Vec::new());
    }
    let newest: Option<SnapshotId> =
        coin_snapshots::table.select(diesel::dsl::max(coin_snapshots::id)).first(conn)?;
    let coins: Vec<Identity> = coin_quotes::table
        .inner_join(coins::table)
        .filter(coin_quotes::snapshot_id.nullable().eq(newest))
        .order((coin_quotes::rank, coin_quotes::coin_id))
        .select(Identity::as_select())
        .load(conn)?;
    let target = |Identity { id, symbol, name, slug }| Target { id, symbol, name, slug };
    Ok(coins.into_iter().map(target).collect())
}

/// Publishes social figures with a snapshot. Those of its slot also become part of its quotes, from which history and
/// alerts read them.
pub fn add_social(conn: &mut PgConnection, snapshot_id: SnapshotId, social: &Collected) -> QueryResult<()> {
    social.save(conn)?;
    let (coins, figures): (Vec<CoinId>, Vec<&Social>) = social.new_figures().unzip();
    sql_query(
        "UPDATE coin_quotes q SET sentiment = f.sentiment, popularity = f.popularity \
         FROM unnest($2, $3, $4) AS f (coin_id, sentiment, popularity) \
         WHERE q.snapshot_id = $1 AND q.coin_id = f.coin_id",
    )
    .bind::<BigInt, _>(snapshot_id)
    .bind::<Array<BigInt>, _>(coins)
    .bind::<Array<Nullable<Double>>, _>(figures.iter().map(|social| social.sentiment).collect::<Vec<_>>())
    .bind::<Array<Nullable<Double>>, _>(figures.iter().map(|social| social.popularity).collect::<Vec<_>>())
    .execute(conn)?;
    Ok(())
}
