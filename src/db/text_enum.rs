//! Maps an enum to the names that a `text` column holds.

/// How an enum is written in a `text` column: its names, once, for both directions.
///
/// The enum itself derives `AsExpression` and `FromSqlRow` with `#[diesel(sql_type = Text)]`.
macro_rules! text_enum {
    ($name:ident { $($variant:ident = $text:literal),+ $(,)? }) => {
        const _: () = {
            use diesel::{
                backend::Backend,
                deserialize::{self, FromSql},
                pg::Pg,
                serialize::{self, Output, ToSql},
                sql_types::Text,
            };

            impl $name {
                #[must_use]
                pub fn as_str(self) -> &'static str {
                    match self {
                        $(Self::$variant => $text,)+
                    }
                }
            }

            impl ToSql<Text, Pg> for $name {
                fn to_sql<'b>(&'b self, out: &mut Output<'b, '_, Pg>) -> serialize::Result {
                    <str as ToSql<Text, Pg>>::to_sql(self.as_str(), out)
                }
            }

            impl FromSql<Text, Pg> for $name {
                fn from_sql(bytes: <Pg as Backend>::RawValue<'_>) -> deserialize::Result<Self> {
                    match <String as FromSql<Text, Pg>>::from_sql(bytes)?.as_str() {
                        $($text => Ok(Self::$variant),)+
                        other => Err(format!("{other} is no {}", stringify!($name)).into()),
                    }
                }
            }
        };
    };
}

pub(crate) use text_enum;
