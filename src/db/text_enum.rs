//! Enums in `text` columns.

/// Stores an enum in a `text` column under the names that it derives with `strum`.
///
/// The enum itself derives `AsExpression` and `FromSqlRow` with `#[diesel(sql_type = Text)]`, and
/// `EnumString` and `IntoStaticStr`.
macro_rules! text_enum {
    ($name:ident) => {
        const _: () = {
            use diesel::{
                backend::Backend,
                deserialize::{self, FromSql},
                pg::Pg,
                serialize::{self, Output, ToSql},
                sql_types::Text,
            };

            impl $name {
                pub fn as_str(self) -> &'static str {
                    self.into()
                }
            }

            impl ToSql<Text, Pg> for $name {
                fn to_sql<'b>(&'b self, out: &mut Output<'b, '_, Pg>) -> serialize::Result {
                    <str as ToSql<Text, Pg>>::to_sql(self.as_str(), out)
                }
            }

            impl FromSql<Text, Pg> for $name {
                fn from_sql(bytes: <Pg as Backend>::RawValue<'_>) -> deserialize::Result<Self> {
                    let text = <String as FromSql<Text, Pg>>::from_sql(bytes)?;
                    text.parse().map_err(|_| format!("{text:?} is not a {}", stringify!($name)).into())
                }
            }
        };
    };
}

pub(crate) use text_enum;
