//! Connects snapshots and social figures: the coins to read posts about, and the figures of a slot.

use chrono::{DateTime, Utc};
use diesel::{
    PgConnection, QueryResult,
    prelude::*,
    sql_query,
    sql_types::{Array, BigInt, Double, Nullable},
};

use super::{
    super::{model::Identity, providers::demo},
    simulation::{is_simulated, stays_simulated},
};
use crate::{
    db::{
        CoinId, SnapshotId,
        schema::{coin_quotes, coin_snapshots, coins},
    },
    social::{Collected, Social, Target},
};

/// Returns the coins in the list of the newest snapshot that is not of the demonstration, by rank, to read posts about
/// them; none if the market is simulated and `simulated` is not, or the other way round.
pub fn social_targets(conn: &mut PgConnection, simulated: bool) -> QueryResult<Vec<Target>> {
    if is_simulated(conn)? != simulated {
        return Ok(Vec::new());
    }
    let newest = newest_real(conn)?;
    let coins: Vec<Identity> = coin_quotes::table
        .inner_join(coins::table)
        .filter(coin_quotes::snapshot_id.nullable().eq(newest).and(coin_quotes::is_listed))
        .order((coin_quotes::rank, coin_quotes::coin_id))
        .select(Identity::as_select())
        .load(conn)?;
    let target = |Identity { id, symbol, name, slug }| Target { id, symbol, name, slug };
    Ok(coins.into_iter().map(target).collect())
}

/// Returns the coins in the list of the newest snapshot of real data.
pub fn listed(conn: &mut PgConnection) -> QueryResult<Vec<CoinId>> {
    let newest = newest_real(conn)?;
    coin_quotes::table
        .filter(coin_quotes::snapshot_id.nullable().eq(newest).and(coin_quotes::is_listed))
        .select(coin_quotes::coin_id)
        .load(conn)
}

/// Returns the newest snapshot of real data.
pub fn newest_real(conn: &mut PgConnection) -> QueryResult<Option<SnapshotId>> {
    let real = coin_snapshots::table.filter(coin_snapshots::provider.ne(demo::NAME));
    real.select(diesel::dsl::max(coin_snapshots::id)).first(conn)
}

/// Publishes social figures with a snapshot. Those of its slot also become part of its quotes, from which history and
/// alerts read them. Returns false, without a change, if another replica reads the sources by now, or if they are of a
/// simulated market that real data has replaced.
pub fn add_social(
    conn: &mut PgConnection,
    snapshot_id: SnapshotId,
    social: &Collected,
    now: DateTime<Utc>,
) -> QueryResult<bool> {
    if stays_simulated(conn)? != social.is_simulated || !social.save(conn, now)? {
        return Ok(false);
    }
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
    Ok(true)
}
