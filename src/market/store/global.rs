//! Stores the figures of the whole market, and decides which replica reads them when.

use std::collections::HashMap;

use chrono::{DateTime, TimeDelta, Utc};
use diesel::{
    PgConnection, QueryResult,
    prelude::*,
    sql_query,
    sql_types::{Text, Timestamptz},
};
use serde::{Serialize, de::DeserializeOwned};

use super::{
    super::global::{Global, Sourced, Subject},
    simulation::{is_simulated, stays_simulated, stored_world},
    snapshots::has_real,
    social::newest_real,
};
use crate::{
    config,
    db::schema::{global_figures, snapshot_rates},
    simulation::World,
    upstream::MAX_WAIT,
};

/// Longer than a reading takes; then another replica may begin.
const LEASE: TimeDelta = TimeDelta::minutes(2);

/// The market whose figures are read.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Basis {
    Real,
    Simulated(World),
}

/// Claims the reading of a subject. Returns the market that it is about, or None if it is not due, another replica is at it,
/// or there is no market data yet to which the figures could belong.
pub fn claim_global(
    conn: &mut PgConnection,
    subject: Subject,
    settings: config::Simulation,
    now: DateTime<Utc>,
) -> QueryResult<Option<Basis>> {
    let basis = if is_simulated(conn)? {
        stored_world(conn, settings)?.map(Basis::Simulated)
    } else {
        has_real(conn)?.then_some(Basis::Real)
    };
    let Some(basis) = basis else { return Ok(None) };
    // A time that is too far ahead comes from a wrong clock.
    let claimed = sql_query(
        "INSERT INTO global_figures AS g (subject, next_read_at) VALUES ($1, $3) \
         ON CONFLICT (subject) DO UPDATE SET next_read_at = excluded.next_read_at \
         WHERE g.next_read_at <= $2 OR g.next_read_at > $4",
    )
    .bind::<Text, _>(subject.name())
    .bind::<Timestamptz, _>(now)
    .bind::<Timestamptz, _>(now + LEASE)
    .bind::<Timestamptz, _>(now + MAX_WAIT)
    .execute(conn)?;
    Ok((claimed == 1).then_some(basis))
}

/// Stores figures; false, without a change, if by now the market is simulated and was not, or the other way round.
pub fn save_global(
    conn: &mut PgConnection,
    subject: Subject,
    basis: Basis,
    found: &Sourced<impl Serialize>,
    next_read_at: DateTime<Utc>,
) -> QueryResult<bool> {
    if stays_simulated(conn)? != matches!(basis, Basis::Simulated(_)) {
        return Ok(false);
    }
    let figures = serde_json::to_value(&found.figures).expect("numbers and text serialise");
    let values = (
        global_figures::source.eq(&found.source),
        global_figures::as_of.eq(found.as_of),
        global_figures::figures.eq(&figures),
        global_figures::next_read_at.eq(next_read_at),
    );
    diesel::insert_into(global_figures::table)
        .values((global_figures::subject.eq(subject.name()), values))
        .on_conflict(global_figures::subject)
        .do_update()
        .set(values)
        .execute(conn)?;
    Ok(true)
}

/// Notes when a reading that has failed is tried again.
pub fn postpone_global(
    conn: &mut PgConnection,
    subject: Subject,
    next_read_at: DateTime<Utc>,
) -> QueryResult<()> {
    diesel::update(global_figures::table.find(subject.name()))
        .set(global_figures::next_read_at.eq(next_read_at))
        .execute(conn)?;
    Ok(())
}

/// Reads what is stored, with the rates of the newest snapshot that is not of the demonstration.
pub fn global(conn: &mut PgConnection) -> QueryResult<Global> {
    let newest = newest_real(conn)?;
    let rates: Vec<(String, f64)> = snapshot_rates::table
        .filter(snapshot_rates::snapshot_id.nullable().eq(newest))
        .select((snapshot_rates::currency, snapshot_rates::rate))
        .load(conn)?;
    let rates: HashMap<_, _> = rates.into_iter().filter(|(_, rate)| *rate > 0.0).collect();
    Ok(Global {
        market: figures(conn, Subject::Market)?,
        fear_and_greed: figures(conn, Subject::FearAndGreed)?,
        rates,
    })
}

/// Figures of another shape, from another version of the program, count as absent until they are replaced.
fn figures<T: DeserializeOwned>(
    conn: &mut PgConnection,
    subject: Subject,
) -> QueryResult<Option<Sourced<T>>> {
    type Row = (Option<String>, Option<DateTime<Utc>>, Option<serde_json::Value>);
    let row: Option<Row> = global_figures::table
        .find(subject.name())
        .select((global_figures::source, global_figures::as_of, global_figures::figures))
        .first(conn)
        .optional()?;
    let Some((Some(source), Some(as_of), Some(figures))) = row else { return Ok(None) };
    Ok(serde_json::from_value(figures).ok().map(|figures| Sourced { source, as_of, figures }))
}
