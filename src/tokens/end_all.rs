//! Ends every session and API key at once: after a restore, or when `SECRET_KEY` is lost or stolen.

use anyhow::Result;
use chrono::{DateTime, Utc};
use diesel::{Connection, PgConnection, QueryResult, prelude::*};
use uuid::Uuid;

use super::{api_keys, key_changes, seal::Sealer};
use crate::db::{SessionId, schema::sessions};

/// Rows that one transaction locks.
const BATCH: i64 = 1000;

/// What [`end_all`] has ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AllEnded {
    pub sessions: usize,
    pub api_keys: usize,
}

/// Replaces the signing keys, ends all sessions and revokes all API keys.
///
/// A database that was restored from a dump does not know sessions that began later, nor which have ended since, so
/// deleting rows does not invalidate all tokens. New keys do: they make every token invalid on all servers, which are
/// notified. The blocklist needs no entries.
///
/// # Errors
/// The database cannot be written. The keys are replaced first, so tokens may already be invalid.
pub fn end_all(conn: &mut PgConnection, sealer: &Sealer, now: DateTime<Utc>) -> Result<AllEnded> {
    key_changes::replace_all(conn, sealer, now)?;
    let mut api_keys = 0;
    loop {
        match conn.transaction(|conn| api_keys::revoke_every(conn, now))? {
            0 => break,
            revoked => api_keys += revoked,
        }
    }
    let ids = sessions::table.select(sessions::id);
    // Sessions with the new keys may begin in the meantime. Their ids are greater (UUIDv7).
    let Some(last) = ids.order(sessions::id.desc()).first::<SessionId>(conn).optional()? else {
        return Ok(AllEnded { sessions: 0, api_keys });
    };
    let (mut after, mut ended) = (SessionId(Uuid::nil()), 0);
    while after < last {
        let batch = conn.transaction(|conn| -> QueryResult<Vec<SessionId>> {
            let batch: Vec<SessionId> = ids
                .filter(sessions::id.gt(after).and(sessions::id.le(last)))
                .order(sessions::id)
                .limit(BATCH)
                .for_update()
                .load(conn)?;
            diesel::delete(sessions::table.filter(sessions::id.eq_any(&batch))).execute(conn)?;
            Ok(batch)
        })?;
        let Some(newest) = batch.last() else {
            break;
        };
        (after, ended) = (*newest, ended + batch.len());
    }
    Ok(AllEnded { sessions: ended, api_keys })
}
