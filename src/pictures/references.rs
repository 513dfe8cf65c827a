//! Finds out which stored pictures belong to an account.

use diesel::{PgConnection, QueryResult, prelude::*};

use crate::db::schema::users;

/// Returns those of the hashes that an account refers to.
pub(super) fn in_use(conn: &mut PgConnection, hashes: &[String]) -> QueryResult<Vec<String>> {
    let found: Vec<Option<String>> =
        users::table.filter(users::avatar_hash.eq_any(hashes)).select(users::avatar_hash).load(conn)?;
    Ok(found.into_iter().flatten().collect())
}
