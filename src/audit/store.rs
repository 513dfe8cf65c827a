//! Reads pages of events, erases what identifies a person, and deletes old events.

use chrono::{DateTime, Utc};
use diesel::{PgConnection, QueryResult, dsl::sql, prelude::*, sql_types::Bool};
use ipnet::IpNet;
use serde_json::{Value, json};
use uuid::Uuid;

use super::{
    chain::{self, ChainKey, Ends},
    event::EventKind,
};
use crate::{
    db::{SessionId, UserId, least_id_at, schema::security_events},
    tokens::Sealer,
};

/// Rows that one transaction erases or deletes.
const BATCH: i64 = 1000;

/// An event as it is stored.
#[derive(Queryable, Selectable, Debug)]
#[diesel(table_name = security_events)]
pub(super) struct EventRow {
    pub id: Uuid,
    pub at: DateTime<Utc>,
    pub kind: String,
    pub actor: String,
    pub actor_id: Option<UserId>,
    pub user_id: Option<UserId>,
    pub session_id: Option<SessionId>,
    pub address: Option<IpNet>,
    pub user_agent: Option<String>,
    pub details: Value,
    #[diesel(select_expression = security_events::seq.is_not_null())]
    pub sealed: bool,
}

/// Which events to list.
#[derive(Clone, Debug, Default)]
pub(super) struct Filter {
    pub kind: Option<EventKind>,
    pub user: Option<UserId>,
    pub actor: Option<UserId>,
    pub after: Option<DateTime<Utc>>,
    pub before: Option<DateTime<Utc>>,
}

/// Lists events, the newest first, from the one before `cursor` on.
pub(super) fn list(
    conn: &mut PgConnection,
    filter: &Filter,
    cursor: Option<Uuid>,
    limit: i64,
) -> QueryResult<Vec<EventRow>> {
    let mut query = security_events::table
        .select(EventRow::as_select())
        .order(security_events::id.desc())
        .limit(limit)
        .into_boxed();
    if let Some(kind) = filter.kind {
        query = query.filter(security_events::kind.eq(kind));
    }
    if let Some(user) = filter.user {
        query = query.filter(security_events::user_id.eq(user));
    }
    if let Some(actor) = filter.actor {
        query = query.filter(security_events::actor_id.eq(actor));
    }
    // By id, whose order is that of time, so that the index on it serves.
    if let Some(after) = filter.after {
        query = query.filter(security_events::id.ge(least_id_at(after)));
    }
    if let Some(before) = filter.before {
        query = query.filter(security_events::id.lt(least_id_at(before)));
    }
    if let Some(cursor) = cursor {
        query = query.filter(security_events::id.lt(cursor));
    }
    query.load(conn)
}

/// Erases addresses, user agents and details from at most [`BATCH`] events of a purged account, as soon as the purge
/// itself is sealed: the events before it are too by then, and others can only be erased sealed. What an admin did to
/// other accounts stays, so that an attacker cannot erase it by deleting the own account. Returns true if there may be
/// more.
pub fn erase_purged(conn: &mut PgConnection, now: DateTime<Utc>) -> QueryResult<bool> {
    let purged: Option<Option<UserId>> = security_events::table
        // In words, so that the partial index serves.
        .filter(sql::<Bool>("kind = 'user-purged' AND erased_at IS NULL"))
        .filter(security_events::seq.is_not_null())
        .select(security_events::user_id)
        .order(security_events::id)
        .first(conn)
        .optional()?;
    let Some(Some(user)) = purged else {
        return Ok(false);
    };
    // From the oldest on, so that the event of the purge comes last: with it the account is done.
    let its: Vec<Uuid> = security_events::table
        .filter(security_events::user_id.eq(user).and(security_events::erased_at.is_null()))
        .filter(security_events::seq.is_not_null())
        .order(security_events::seq)
        .limit(BATCH)
        .select(security_events::id)
        .load(conn)?;
    diesel::update(security_events::table.filter(security_events::id.eq_any(its)))
        .set((
            security_events::address.eq(None::<IpNet>),
            security_events::user_agent.eq(None::<String>),
            security_events::details.eq(json!({})),
            security_events::salt.eq(None::<Vec<u8>>),
            security_events::erased_at.eq(now),
        ))
        .execute(conn)?;
    Ok(true)
}

/// Deletes at most [`BATCH`] events from the old end of a chain that happened before `limit`. Returns true if there may be
/// more.
pub fn prune(conn: &mut PgConnection, sealer: &Sealer, limit: DateTime<Utc>) -> QueryResult<bool> {
    let Some(newest) = chain::newest(conn)? else {
        return Ok(false);
    };
    for ends in chain::lock_all(conn)? {
        let key = match ChainKey::open(sealer, &ends) {
            // What was sealed with a lost key is deleted too when it is old enough.
            None if ends.id < newest.id => None,
            Some(key) if key.mac(&ends) == ends.mac => Some(key),
            _ => continue,
        };
        if prune_chain(conn, key.as_ref(), ends, limit)? {
            return Ok(true);
        }
    }
    Ok(false)
}

fn prune_chain(
    conn: &mut PgConnection,
    key: Option<&ChainKey>,
    mut ends: Ends,
    limit: DateTime<Utc>,
) -> QueryResult<bool> {
    let of_chain = security_events::table
        .filter(security_events::chain.eq(ends.id))
        .filter(security_events::seq.is_not_null());
    let next: Vec<(i64, DateTime<Utc>, Vec<u8>)> = of_chain
        .order(security_events::seq)
        .limit(BATCH)
        .select((
            security_events::seq.assume_not_null(),
            security_events::at,
            security_events::hash.assume_not_null(),
        ))
        .load(conn)?;
    // An event that was sealed late may be older than the one before: pruning ends at the first that is young enough.
    let old = next.into_iter().take_while(|(_, at, _)| *at < limit);
    let Some((seq, _, hash)) = old.last() else {
        return Ok(false);
    };
    let count = seq - ends.pruned_seq;
    (ends.pruned_seq, ends.pruned_hash) = (seq, hash);
    chain::store(conn, key, &ends)?;
    diesel::delete(of_chain.filter(security_events::seq.le(seq))).execute(conn)?;
    Ok(count >= BATCH)
}
