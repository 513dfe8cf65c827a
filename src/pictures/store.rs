//! Stores which picture an account has.

use chrono::{DateTime, Utc};
use diesel::{PgConnection, QueryResult, prelude::*};

use super::DeletePicture;
use crate::{
    db::{UserId, schema::users},
    http::{Problem, etag::IfMatch},
    jobs,
    users::User,
};

/// Returns the hash of the picture of an account; None if the account has none or is deleted.
pub(super) fn find(conn: &mut PgConnection, id: UserId) -> QueryResult<Option<String>> {
    let account = users::table.find(id).filter(users::deleted_at.is_null());
    Ok(account.select(users::avatar_hash).first(conn).optional()?.flatten())
}

/// Replaces or removes the picture of an account and enqueues the deletion of the old files. Returns None if there is no
/// such account, and whether anything has changed.
///
/// # Errors
/// `precondition-failed`.
pub(super) fn replace(
    conn: &mut PgConnection,
    id: UserId,
    new: Option<&str>,
    condition: &IfMatch,
    now: DateTime<Utc>,
) -> Result<Option<(User, bool)>, Problem> {
    let account = users::table.find(id).filter(users::deleted_at.is_null());
    let old = account.select((users::avatar_hash, User::as_select())).for_update();
    let Some((old, user)) = old.first::<(Option<String>, User)>(conn).optional()? else {
        return Ok(None);
    };
    condition.check(user.version)?;
    if old.as_deref() == new {
        return Ok(Some((user, false)));
    }
    let changed =
        (users::avatar_hash.eq(new), users::version.eq(users::version + 1), users::updated_at.eq(now));
    let user = diesel::update(users::table.find(id)).set(changed).returning(User::as_returning());
    let user = user.get_result(conn)?;
    if let Some(hash) = old {
        jobs::enqueue(conn, &DeletePicture { hash }, now)?;
    }
    Ok(Some((user, true)))
}
