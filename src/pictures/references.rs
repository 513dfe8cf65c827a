//! Finds out which stored pictures belong to an account.

use diesel::{PgConnection, QueryResult, prelude::*};

use crate::db::{UserId, schema::users};

/// Whether any account has a picture.
pub(super) fn any(conn: &mut PgConnection) -> QueryResult<bool> {
    // In the order of the index, which has only accounts with one.
    let with_one = users::table.filter(users::avatar_hash.is_not_null()).order(users::avatar_hash);
    Ok(with_one.select(users::id).first::<UserId>(conn).optional()?.is_some())
}

/// Returns those of the hashes that an account refers to.
pub(super) fn in_use(conn: &mut PgConnection, hashes: &[String]) -> QueryResult<Vec<String>> {
    let found: Vec<Option<String>> =
        users::table.filter(users::avatar_hash.eq_any(hashes)).select(users::avatar_hash).load(conn)?;
    Ok(found.into_iter().flatten().collect())
}
