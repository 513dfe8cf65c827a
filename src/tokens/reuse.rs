//! Refresh tokens that come again after they were exchanged.
//!
//! Such a token is answered with the newest one of its session, not with a log-out, when an honest
//! client may have sent it: within a grace period (tabs that race), or as long as nothing of the
//! newest generation has been used (its response was lost). Anything else is reuse and ends the
//! session (RFC 9700 section 4.14.2).

use chrono::{DateTime, Utc};
use diesel::{PgConnection, QueryResult, prelude::*};
use ipnet::IpNet;

use super::{
    role::Role,
    sessions::{self, Ended, Grant, Lifetimes, Presented, RefreshToken, Which},
};
use crate::db::schema::{refresh_tokens, sessions as rows, users};

/// What became of a refresh token that is not the newest of its session.
#[derive(Debug)]
pub enum Settled {
    /// The newest one, again.
    Reissued(Grant),
    /// The session has ended, or the token never belonged to it.
    Unknown,
    Reused(Vec<Ended>),
}

/// Decides about a token that was not the newest of its session a moment ago; in a transaction.
///
/// # Errors
/// The database cannot be written.
pub fn settle(conn: &mut PgConnection, presented: Presented, times: &Lifetimes) -> QueryResult<Settled> {
    let Presented { claims, seen_here, client } = presented;
    // The row lock makes racing requests take turns.
    let session = rows::table
        .filter(rows::id.eq(claims.sid).and(rows::user_id.eq(claims.sub)))
        .select((
            rows::generation,
            rows::seen_generation,
            rows::access_expires_at,
            users::table.find(claims.sub).select(users::role).single_value().assume_not_null(),
        ))
        .for_update()
        .first::<(i32, i32, DateTime<Utc>, Role)>(conn)
        .optional()?;
    let Some((newest, seen, access_expires_at, role)) = session else {
        return Ok(Settled::Unknown);
    };
    let rotated_at = refresh_tokens::table
        .find((claims.sid, claims.generation))
        .filter(refresh_tokens::id.eq(claims.jti).and(refresh_tokens::rotated_at.is_not_null()))
        .select(refresh_tokens::rotated_at.assume_not_null())
        .first::<DateTime<Utc>>(conn)
        .optional()?;
    let seen = seen.max(seen_here.unwrap_or(-1));
    if decide(rotated_at, claims.generation, newest, seen, times) == Decision::Reuse {
        let ended = sessions::end(conn, claims.sub, Which::These(&[claims.sid]))?;
        return Ok(Settled::Reused(ended));
    }
    let token: RefreshToken =
        refresh_tokens::table.find((claims.sid, newest)).select(RefreshToken::as_select()).first(conn)?;
    diesel::update(rows::table.find(claims.sid))
        .set((
            rows::seen_generation.eq(seen),
            // Never earlier than that of a token which is out already.
            rows::access_expires_at.eq(times.access_expires_at.max(access_expires_at)),
            rows::last_seen_at.eq(times.now),
            rows::user_agent.eq(client.user_agent),
            rows::address.eq(IpNet::from(client.address)),
        ))
        .execute(conn)?;
    Ok(Settled::Reissued(token.grant(claims.sub, role)))
}

#[derive(Debug, PartialEq, Eq)]
enum Decision {
    Reissue,
    Reuse,
}

/// `rotated_at` is None when the token is so old that its row is gone.
fn decide(
    rotated_at: Option<DateTime<Utc>>,
    generation: i32,
    newest: i32,
    seen: i32,
    times: &Lifetimes,
) -> Decision {
    match rotated_at {
        None => Decision::Reuse,
        Some(rotated_at) if times.now - rotated_at <= times.grace => Decision::Reissue,
        Some(_) if generation + 1 == newest && seen < newest => Decision::Reissue,
        Some(_) => Decision::Reuse,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    fn times(now: DateTime<Utc>) -> Lifetimes {
        Lifetimes {
            now,
            access_expires_at: now,
            remembered: (TimeDelta::days(14), TimeDelta::days(90)),
            short: (TimeDelta::hours(12), TimeDelta::hours(24)),
            grace: TimeDelta::from_std(Duration::from_secs(10)).expect("short"),
        }
    }

    proptest! {
        #[test]
        fn a_rotated_token_is_reissued_only_in_the_grace_or_while_its_successor_is_unused(
            age in 0i64..100, behind in 1i32..4, seen_behind in 0i32..4,
        ) {
            let now = DateTime::from_timestamp(1_800_000_000, 0).expect("time");
            let newest = 10;
            let rotated_at = now - TimeDelta::seconds(age);
            let decision =
                decide(Some(rotated_at), newest - behind, newest, newest - seen_behind, &times(now));
            let successor_unused = behind == 1 && seen_behind >= 1;
            let expected = if age <= 10 || successor_unused { Decision::Reissue } else { Decision::Reuse };
            prop_assert_eq!(decision, expected);
        }
    }

    #[test]
    fn a_forgotten_token_is_reuse() {
        assert_eq!(decide(None, 1, 9, 9, &times(DateTime::UNIX_EPOCH)), Decision::Reuse);
    }
}
