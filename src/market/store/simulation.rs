//! Keeps the simulated market apart from real data: the database holds either one or the other.
//!
//! A row in `simulation` says that the market data is simulated. Its rows are deleted before the first real snapshot is
//! written, so no statement has to tell them apart.

use chrono::{DateTime, Utc};
use diesel::{
    PgConnection, QueryResult,
    dsl::exists,
    prelude::*,
    sql_query,
    sql_types::{Array, BigInt, Text},
};

use super::super::providers::simulation::NAMES;
use crate::{
    config,
    db::schema::{simulation, social_cursors, social_tries},
    simulation::World,
};

/// Rows of one step of the deletion; a snapshot has a row per coin.
const MAX_ROWS: i64 = 5000;
const MAX_SNAPSHOTS: i64 = 200;

/// Whether the market data is simulated, also at the end of the caller's transaction.
pub fn stays_simulated(conn: &mut PgConnection) -> QueryResult<bool> {
    let locked: Option<bool> =
        simulation::table.select(simulation::is_only).for_share().first(conn).optional()?;
    Ok(locked.is_some())
}

/// Whether the market data is simulated.
pub fn is_simulated(conn: &mut PgConnection) -> QueryResult<bool> {
    diesel::select(exists(simulation::table.filter(simulation::is_only))).get_result(conn)
}

/// Returns the simulated market whose data is stored, if it is of these settings and complete.
pub fn stored_world(conn: &mut PgConnection, settings: config::Simulation) -> QueryResult<Option<World>> {
    let same = simulation::table
        .filter(simulation::scenario.eq(settings.scenario.name()))
        .filter(simulation::speed.eq(i64::from(settings.speed)))
        .filter(simulation::seed.eq(i64::from(settings.seed)))
        .filter(simulation::is_complete);
    let began: Option<DateTime<Utc>> = same.select(simulation::began_at).first(conn).optional()?;
    Ok(began.map(|began| World::new(settings, began)))
}

/// Notes that simulated data is written from now on.
pub fn begin(conn: &mut PgConnection, world: &World) -> QueryResult<()> {
    let settings = world.settings();
    diesel::insert_into(simulation::table)
        .values((
            simulation::scenario.eq(settings.scenario.name()),
            simulation::speed.eq(i64::from(settings.speed)),
            simulation::seed.eq(i64::from(settings.seed)),
            simulation::began_at.eq(world.began()),
        ))
        .execute(conn)?;
    Ok(())
}

/// Deletes a part of the simulated data; needs a transaction. Returns false once nothing was left.
pub fn clear(conn: &mut PgConnection) -> QueryResult<bool> {
    if !is_simulated(conn)? {
        return Ok(false);
    }
    let snapshots = sql_query(
        "DELETE FROM coin_snapshots WHERE id IN (SELECT id FROM coin_snapshots WHERE provider = ANY($1) LIMIT $2)",
    )
    .bind::<Array<Text>, _>(NAMES.to_vec())
    .bind::<BigInt, _>(MAX_SNAPSHOTS)
    .execute(conn)?;
    let deleted = snapshots + delete(conn, "coin_history", "sources && $1")? + clear_posts(conn)?;
    if deleted == 0 {
        // This waits for transactions for which the data stays simulated, so it comes before what they have written.
        diesel::delete(simulation::table).execute(conn)?;
        // All of these are simulated.
        sql_query("DELETE FROM coin_social").execute(conn)?;
        sql_query("DELETE FROM coin_rollups").execute(conn)?;
        sql_query("DELETE FROM global_figures").execute(conn)?;
    }
    Ok(deleted > 0)
}

/// Deletes a part of the simulated posts that were stored after the simulation had ended; needs a transaction. Returns false
/// once nothing was left.
pub fn clear_late_posts(conn: &mut PgConnection) -> QueryResult<bool> {
    // Posts are stored together with a cursor, after a try.
    let cursors = social_cursors::table.filter(social_cursors::source.eq_any(NAMES));
    let tries = social_tries::table.filter(social_tries::source.eq_any(NAMES));
    let has_posts = diesel::select(exists(cursors).or(exists(tries))).get_result(conn)?;
    Ok(has_posts && !is_simulated(conn)? && clear_posts(conn)? > 0)
}

/// Deletes a part of the simulated posts, the cursors last. Returns the number of rows.
fn clear_posts(conn: &mut PgConnection) -> QueryResult<usize> {
    let posts = delete(conn, "social_posts", "provider = ANY($1)")?
        + delete(conn, "social_hours", "source = ANY($1)")?
        + delete(conn, "social_tries", "source = ANY($1)")?;
    if posts > 0 {
        return Ok(posts);
    }
    delete(conn, "social_cursors", "source = ANY($1)")
}

fn delete(conn: &mut PgConnection, table: &str, of_simulation: &str) -> QueryResult<usize> {
    sql_query(format!(
        "DELETE FROM {table} WHERE ctid = ANY(ARRAY(SELECT ctid FROM {table} WHERE {of_simulation} LIMIT $2))"
    ))
    .bind::<Array<Text>, _>(NAMES.to_vec())
    .bind::<BigInt, _>(MAX_ROWS)
    .execute(conn)
}
