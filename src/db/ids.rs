//! Types of primary keys, so that the compiler refuses a session's id in place of a user's.

use std::fmt;

use chrono::{DateTime, Utc};
use diesel::{
    backend::Backend,
    deserialize::{self, FromSql, FromSqlRow},
    expression::AsExpression,
    pg::Pg,
    serialize::{self, Output, ToSql},
    sql_types,
};
use serde::{Deserialize, Serialize};
use uuid::{NoContext, Timestamp, Uuid};

/// Makes a `UUIDv7` of this time, so that ids sort by it.
pub fn id_at(time: DateTime<Utc>) -> Uuid {
    let seconds = u64::try_from(time.timestamp()).unwrap_or_default();
    Uuid::new_v7(Timestamp::from_unix(NoContext, seconds, time.timestamp_subsec_nanos()))
}

/// Returns the least id of this time: those of earlier times are smaller.
pub fn least_id_at(time: DateTime<Utc>) -> Uuid {
    let millis = u64::try_from(time.timestamp_millis()).unwrap_or_default();
    uuid::Builder::from_unix_timestamp_millis(millis, &[0; 10]).into_uuid()
}

macro_rules! id {
    ($name:ident, $inner:ty, $sql:ident, $what:literal) => {
        #[doc = concat!("Identifies ", $what, ".")]
        #[derive(
            Clone,
            Copy,
            Debug,
            PartialEq,
            Eq,
            PartialOrd,
            Ord,
            Hash,
            Serialize,
            Deserialize,
            AsExpression,
            FromSqlRow,
        )]
        #[diesel(sql_type = sql_types::$sql)]
        #[serde(transparent)]
        pub struct $name(pub $inner);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl ToSql<sql_types::$sql, Pg> for $name {
            fn to_sql<'b>(&'b self, out: &mut Output<'b, '_, Pg>) -> serialize::Result {
                <$inner as ToSql<sql_types::$sql, Pg>>::to_sql(&self.0, out)
            }
        }

        impl FromSql<sql_types::$sql, Pg> for $name {
            fn from_sql(bytes: <Pg as Backend>::RawValue<'_>) -> deserialize::Result<Self> {
                <$inner as FromSql<sql_types::$sql, Pg>>::from_sql(bytes).map(Self)
            }
        }
    };
}

id!(UserId, Uuid, Uuid, "an account (`users.id`)");
id!(SessionId, Uuid, Uuid, "a session (`sessions.id`)");
id!(ApiKeyId, Uuid, Uuid, "an API key (`api_keys.id`)");
id!(CoinId, i64, BigInt, "a coin (`coins.id`)");
id!(SnapshotId, i64, BigInt, "a snapshot of the market (`coin_snapshots.id`)");

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;

    #[test]
    fn ids_sort_by_time_and_bound_it() {
        let now = DateTime::from_timestamp_millis(1_790_000_000_123).expect("a time");
        let (before, after) = (id_at(now - TimeDelta::milliseconds(1)), id_at(now));
        assert!(before < least_id_at(now) && least_id_at(now) <= after, "{before} {after}");
    }
}
