//! A new password for an account that is there.

use actix_web::web::Data;
use uuid::Uuid;
use validator::ValidationError;

use super::proof::refused;
use crate::{
    db::Db,
    http::Problem,
    passwords::{self, Hasher},
    users,
};

/// For validator: what can be said without knowing the account.
pub(super) fn check(password: &str) -> Result<(), ValidationError> {
    passwords::check(password, &[])
}

/// Checks it against the account's address and names as well, then hashes it.
pub(super) async fn hash(
    password: String,
    user: Uuid,
    db: &Db,
    hasher: &Data<Hasher>,
) -> Result<String, Problem> {
    let account = db.run(move |conn| Ok::<_, Problem>(users::find_account(conn, user)?)).await?;
    let account = account.ok_or_else(|| refused("/code"))?;
    let personal = [Some(account.email.as_str()), account.username.as_deref(), account.name.as_deref()];
    passwords::check(&password, &personal).map_err(|error| {
        let message = error.message.unwrap_or_else(|| "is not valid".into());
        Problem::invalid("/new_password", error.code, message)
    })?;
    hasher.reserve()?.hash(password).await
}
