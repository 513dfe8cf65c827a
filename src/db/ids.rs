//! Types of primary keys, so that the compiler refuses a session's id in place of a user's.

use std::fmt;

use diesel::{
    backend::Backend,
    deserialize::{self, FromSql, FromSqlRow},
    expression::AsExpression,
    pg::Pg,
    serialize::{self, Output, ToSql},
    sql_types,
};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

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
id!(CoinId, i64, BigInt, "a coin (`coins.id`)");
id!(SnapshotId, i64, BigInt, "a snapshot of the market (`coin_snapshots.id`)");
