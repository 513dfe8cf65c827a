//! Decides about refresh tokens that are sent again after they were exchanged.
//!
//! Such a token gets the newest one of its session, instead of ending the session, in two cases:
//!
//! - Within the grace period (`REFRESH_GRACE`) after its exchange, because two tabs may refresh at the same time.
//! - Later, if the response to its exchange may have been lost. All of this must hold: it is the token directly before
//!   the newest; it comes within an hour from the client that exchanged it (the same network and `User-Agent`); nothing
//!   of the newest generation was used here; the newest was not issued again before, nor were the three before it.
//!
//! Anything else is reuse and ends the session (RFC 9700 section 4.14.2). Other services verify access tokens without
//! this server, so "never used" proves little by itself: without the other conditions, a thief with a stolen token
//! could take turns with its owner for as long as the session lives.

use chrono::{DateTime, TimeDelta, Utc};
use diesel::{PgConnection, QueryResult, prelude::*};
use ipnet::IpNet;

use super::{
    blocklist::EndedSessions,
    client::Client,
    jwt::SKEW,
    lifetimes::Lifetimes,
    refresh::{Grant, Presented, RefreshToken},
    role::Role,
    sessions::{self, Selection},
};
use crate::{
    db::schema::{refresh_tokens, sessions as rows, users},
    http::Network,
};

/// How long after the exchange a lost response is repeated.
const MAX_REISSUE_AGE: TimeDelta = TimeDelta::hours(1);
/// How far ahead a clock may have been without ending sessions after its correction: until the time of the exchange has
/// come, the token gets a 503. If the exchange is further in the future, the token counts as reused, so that a thief
/// cannot hide behind it.
const MAX_SETBACK: TimeDelta = TimeDelta::hours(2);
/// How many responses in a row may be repeated as lost. Honest clients lose few; a thief who takes turns with the owner
/// needs every one.
const MAX_IN_A_ROW: i32 = 3;

/// The decision about a refresh token that is not the newest of its session.
#[derive(Debug)]
pub enum Settled {
    /// The newest token is issued again.
    Reissued(Grant),
    /// The session has ended, or the token has expired or never belonged to it.
    Unknown,
    /// A clock is or was wrong, so the times do not show whether the token has expired.
    Unclear,
    Reused(Reuse),
}

/// A session that ended because a refresh token was used twice.
#[derive(Debug)]
pub struct Reuse {
    pub ended: EndedSessions,
    pub logged_in_at: DateTime<Utc>,
    /// The user agent of the log-in or of the last exchange.
    pub user_agent: Option<String>,
}

#[derive(Queryable, Selectable)]
#[diesel(table_name = rows)]
struct SessionRow {
    generation: i32,
    seen_generation: i32,
    access_expires_at: DateTime<Utc>,
    refresh_expires_at: DateTime<Utc>,
    user_agent: Option<String>,
    address: Option<IpNet>,
    created_at: DateTime<Utc>,
}

/// Decides about a token that [`exchange`](super::exchange) did not accept. Call it in a transaction.
pub fn settle(conn: &mut PgConnection, presented: Presented, times: &Lifetimes) -> QueryResult<Settled> {
    let Presented { claims, expires_at, seen_here, client } = presented;
    // The row lock makes concurrent requests run one after the other. A database that was restored from a backup does
    // not know tokens that were issued later: they are not reused, but unknown.
    let session = rows::table
        .filter(rows::id.eq(claims.sid).and(rows::user_id.eq(claims.sub)))
        .filter(rows::generation.ge(claims.generation))
        .select((
            SessionRow::as_select(),
            users::table.find(claims.sub).select(users::role).single_value().assume_not_null(),
        ))
        .for_update()
        .first::<(SessionRow, Role)>(conn)
        .optional()?;
    let Some((session, role)) = session else {
        return Ok(Settled::Unknown);
    };
    // An expired token that someone found, in a log for example, must not end a session that is still used.
    if times.is_surely_over(session.refresh_expires_at)
        || (claims.generation < session.generation && times.is_surely_over(expires_at))
    {
        return Ok(Settled::Unknown);
    }
    if times.is_over(session.refresh_expires_at) {
        return Ok(Settled::Unclear);
    }
    let row = |generation| refresh_tokens::table.find((claims.sid, generation));
    let rotated = row(claims.generation)
        .filter(refresh_tokens::id.eq(claims.jti).and(refresh_tokens::rotated_at.is_not_null()))
        .select((refresh_tokens::rotated_at.assume_not_null(), refresh_tokens::reissues))
        .first::<(DateTime<Utc>, i32)>(conn)
        .optional()?;
    let newest = row(session.generation);
    let (token, reissues): (RefreshToken, i32) =
        newest.select((RefreshToken::as_select(), refresh_tokens::reissues)).first(conn)?;
    let seen = session.seen_generation.max(seen_here.unwrap_or(-1));
    let repeated = Repeated {
        rotated,
        is_directly_before: claims.generation + 1 == session.generation,
        newest_was_seen: seen >= session.generation,
        newest_reissues: reissues,
        same_client: is_same(&client, session.user_agent.as_deref(), session.address),
    };
    match repeated.decide(times) {
        Decision::Race => {}
        Decision::Unclear => return Ok(Settled::Unclear),
        Decision::Lost { reissues } => {
            diesel::update(newest).set(refresh_tokens::reissues.eq(reissues)).execute(conn)?;
        }
        Decision::Reuse => {
            let ended = sessions::end(conn, claims.sub, Selection::Only(&[claims.sid]))?;
            let SessionRow { created_at, user_agent, .. } = session;
            return Ok(Settled::Reused(Reuse { ended, logged_in_at: created_at, user_agent }));
        }
    }
    // The session keeps the client that made the exchange, because the next decision compares with it.
    diesel::update(rows::table.find(claims.sid))
        .set((
            rows::seen_generation.eq(seen),
            // Never earlier than the expiry of a token that was already issued.
            rows::access_expires_at.eq(times.access_expires_at.max(session.access_expires_at)),
            rows::last_seen_at.eq(times.now),
        ))
        .execute(conn)?;
    Ok(Settled::Reissued(token.grant(claims.sub, role)))
}

/// Whether the client has this user agent and is in the network of this address.
fn is_same(client: &Client, user_agent: Option<&str>, address: Option<IpNet>) -> bool {
    client.user_agent.as_deref() == user_agent
        && address.is_some_and(|address| Network::of(address.addr()) == Network::of(client.address))
}

/// The facts about a token that was sent again.
#[derive(Debug)]
struct Repeated {
    /// When it was exchanged, and its `reissues`; None if it is so old that its row was deleted.
    rotated: Option<(DateTime<Utc>, i32)>,
    is_directly_before: bool,
    newest_was_seen: bool,
    newest_reissues: i32,
    same_client: bool,
}

#[derive(Debug, PartialEq, Eq)]
enum Decision {
    /// It was sent within the grace period.
    Race,
    /// The time of its exchange is in the future.
    Unclear,
    /// The response may have been lost. Carries the new `reissues` of the newest token.
    Lost {
        reissues: i32,
    },
    Reuse,
}

impl Repeated {
    fn decide(&self, times: &Lifetimes) -> Decision {
        let Some((rotated_at, reissues)) = self.rotated else {
            return Decision::Reuse;
        };
        let age = times.now - rotated_at;
        if age < -SKEW && age > -MAX_SETBACK {
            return Decision::Unclear;
        }
        if age >= -SKEW && age <= times.grace {
            return Decision::Race;
        }
        let lost = (TimeDelta::zero()..=MAX_REISSUE_AGE).contains(&age)
            && self.is_directly_before
            && !self.newest_was_seen
            && self.same_client
            && self.newest_reissues == 0
            && reissues < MAX_IN_A_ROW;
        if lost { Decision::Lost { reissues: reissues + 1 } } else { Decision::Reuse }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{
        clock::Clock,
        config::{Config, Specs},
    };

    fn now() -> DateTime<Utc> {
        DateTime::from_timestamp(1_800_000_000, 0).expect("time")
    }

    fn times() -> Lifetimes {
        let settings = Config::from_lookup(&|_| None, &Specs::default()).expect("defaults").tokens;
        let mut times = Lifetimes::new(&settings, &Clock::default());
        times.now = now();
        times
    }

    proptest! {
        #[test]
        fn after_the_grace_a_token_is_reissued_only_if_every_condition_holds(
            age in prop_oneof![0i64..20, 3590i64..3610],
            is_directly_before: bool,
            newest_was_seen: bool,
            same_client: bool,
            newest_reissues in 0..2,
            reissues in 0..5,
        ) {
            let rotated = Some((now() - TimeDelta::seconds(age), reissues));
            let repeated = Repeated { rotated, is_directly_before, newest_was_seen, newest_reissues, same_client };
            let broken = [
                age > 3600, !is_directly_before, newest_was_seen, !same_client, newest_reissues > 0, reissues > 2,
            ];
            let expected = match age {
                ..=10 => Decision::Race,
                _ if broken.contains(&true) => Decision::Reuse,
                _ => Decision::Lost { reissues: reissues + 1 },
            };
            prop_assert_eq!(repeated.decide(&times()), expected);
        }

        /// If two parties with the same token and the same client take turns in any order, the fourth turn in a row is
        /// detected.
        #[test]
        fn a_thief_can_take_at_most_three_turns_in_a_row(turns in prop::collection::vec(any::<bool>(), 1..40)) {
            let (mut before, mut in_a_row) = (0, 0);
            for again in turns {
                let mut newest = 0;
                if again {
                    let rotated = Some((now() - TimeDelta::seconds(11), before));
                    let repeated = Repeated {
                        rotated, is_directly_before: true, newest_was_seen: false, newest_reissues: 0,
                        same_client: true,
                    };
                    match repeated.decide(&times()) {
                        Decision::Lost { reissues } => newest = reissues,
                        decision => {
                            prop_assert_eq!((decision, in_a_row), (Decision::Reuse, 3));
                            return Ok(());
                        }
                    }
                }
                in_a_row = if again { in_a_row + 1 } else { 0 };
                prop_assert!(in_a_row <= 3);
                before = newest;
            }
        }
    }

    #[test]
    fn a_token_exchanged_in_the_future_is_unclear_for_at_most_two_hours() {
        let decide = |age: TimeDelta| {
            let rotated = Some((now() - age, 0));
            let seen = Repeated {
                rotated,
                is_directly_before: true,
                newest_was_seen: true,
                newest_reissues: 0,
                same_client: true,
            };
            seen.decide(&times())
        };
        for (seconds, expected) in [
            (60, Decision::Race),
            (61, Decision::Unclear),
            (3600, Decision::Unclear),
            (7199, Decision::Unclear),
            (7200, Decision::Reuse),
            (86_400, Decision::Reuse),
        ] {
            assert_eq!(decide(TimeDelta::seconds(-seconds)), expected, "{seconds} s ahead");
        }
    }

    #[test]
    fn a_token_whose_row_was_deleted_is_reuse() {
        let repeated = Repeated {
            rotated: None,
            is_directly_before: true,
            newest_was_seen: false,
            newest_reissues: 0,
            same_client: true,
        };
        assert_eq!(repeated.decide(&times()), Decision::Reuse);
    }

    #[test]
    fn a_client_is_the_same_in_its_network_with_its_user_agent() {
        let same = |before: &str, after: &str, user_agents: (Option<&str>, Option<&str>)| {
            let client = Client::new(after.parse().expect("address"), user_agents.1);
            is_same(&client, user_agents.0, Some(before.parse::<std::net::IpAddr>().expect("address").into()))
        };
        let agent = (Some("a"), Some("a"));
        assert!(same("203.0.113.9", "203.0.113.255", agent));
        assert!(!same("203.0.113.9", "203.0.112.9", agent));
        assert!(same("2001:db8:1:2::1", "2001:db8:1:ffff::1", agent));
        assert!(!same("2001:db8:1:2::1", "2001:db8:2:2::1", agent));
        assert!(!same("203.0.113.9", "2001:db8::1", agent));
        assert!(same("203.0.113.9", "203.0.113.9", (None, None)));
        for differing in [(Some("a"), Some("b")), (None, Some("a")), (Some("a"), None)] {
            assert!(!same("203.0.113.9", "203.0.113.9", differing));
        }
        assert!(!is_same(&Client::new("203.0.113.9".parse().expect("address"), None), None, None));
    }
}
