//! Exact decimal numbers: as text in JSON and CSV, as `numeric` in the database.

use std::{fmt, str::FromStr};

use bigdecimal::{BigDecimal, RoundingMode, Zero};
use diesel::{
    backend::Backend,
    deserialize::{self, FromSql, FromSqlRow},
    expression::AsExpression,
    pg::Pg,
    serialize::{self, Output, ToSql},
    sql_types::Numeric,
};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

const EXPECTED: &str =
    "a decimal number as text, such as \"0.25\": at most 18 digits before the point and 18 behind it";
/// Before and behind the point.
const MAX_DIGITS: usize = 18;
/// Decimals of a number that is computed: more than any currency has.
const DECIMALS: i64 = 8;

/// An exact number that is not negative, with at most 18 digits before and 18 behind the point.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, AsExpression, FromSqlRow)]
#[diesel(sql_type = Numeric)]
pub struct Decimal(pub BigDecimal);

impl Decimal {
    pub fn is_zero(&self) -> bool {
        self.0.is_zero()
    }
}

impl FromStr for Decimal {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (whole, part) = text.split_once('.').unwrap_or((text, "0"));
        let is_number = |digits: &str| {
            (1..=MAX_DIGITS).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit())
        };
        let has_leading_zero = whole.len() > 1 && whole.starts_with('0');
        if !is_number(whole) || !is_number(part) || has_leading_zero {
            return Err(format!("must be {EXPECTED}"));
        }
        text.parse().map(Self).map_err(|_| format!("must be {EXPECTED}"))
    }
}

impl fmt::Display for Decimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&plain(&self.0))
    }
}

impl Serialize for Decimal {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Decimal {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;

        impl de::Visitor<'_> for Visitor {
            type Value = Decimal;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(EXPECTED)
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Decimal, E> {
                text.parse().map_err(E::custom)
            }
        }

        deserializer.deserialize_str(Visitor)
    }
}

impl ToSql<Numeric, Pg> for Decimal {
    fn to_sql<'b>(&'b self, out: &mut Output<'b, '_, Pg>) -> serialize::Result {
        <BigDecimal as ToSql<Numeric, Pg>>::to_sql(&self.0, out)
    }
}

impl FromSql<Numeric, Pg> for Decimal {
    fn from_sql(bytes: <Pg as Backend>::RawValue<'_>) -> deserialize::Result<Self> {
        <BigDecimal as FromSql<Numeric, Pg>>::from_sql(bytes).map(Self)
    }
}

/// Writes a computed number with at most eight decimals, rounded half to even.
pub fn rounded(number: &BigDecimal) -> String {
    plain(&number.with_scale_round(DECIMALS, RoundingMode::HalfEven))
}

/// Converts a price or another number of a provider: the exact decimal that its shortest text stands for.
pub fn from_f64(number: f64) -> Option<BigDecimal> {
    number.to_string().parse().ok()
}

/// Without an exponent and without trailing zeros.
fn plain(number: &BigDecimal) -> String {
    number.normalized().to_plain_string()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn numbers_are_written_as_they_were_meant() {
        for (text, shown) in [
            ("0", "0"),
            ("0.0", "0"),
            ("1500", "1500"),
            ("1500.00", "1500"),
            ("0.000000000000000001", "0.000000000000000001"),
            ("999999999999999999.999999999999999999", "999999999999999999.999999999999999999"),
        ] {
            assert_eq!(text.parse::<Decimal>().map(|number| number.to_string()), Ok(shown.to_owned()));
        }
    }

    #[test]
    fn other_texts_are_refused() {
        for text in [
            "",
            ".",
            "1.",
            ".5",
            "-1",
            "+1",
            "1e9",
            "1e999999999",
            "01",
            "00",
            "1,5",
            " 1",
            "1_000",
            "٣",
            "NaN",
            "Infinity",
            "1000000000000000000",
            "0.0000000000000000001",
            "0x1f",
        ] {
            assert!(text.parse::<Decimal>().is_err(), "{text}");
        }
        for json in ["0.25", "1", "null", "true", "[\"1\"]", "{}"] {
            let error = serde_json::from_str::<Decimal>(json).expect_err(json).to_string();
            assert!(error.contains("as text, such as"), "{error}");
        }
    }

    #[test]
    fn a_computed_number_is_rounded_half_to_even() {
        let rounded = |text: &str| rounded(&text.parse().expect("a number"));
        assert_eq!(rounded("0.000000005"), "0");
        assert_eq!(rounded("0.000000015"), "0.00000002");
        assert_eq!(rounded("-2.5"), "-2.5");
        assert_eq!(rounded("12345678901234567890.123456785"), "12345678901234567890.12345678");
    }

    #[test]
    fn a_price_is_the_decimal_that_is_shown() {
        assert_eq!(from_f64(70211.4421).map(|price| plain(&price)), Some("70211.4421".to_owned()));
        assert_eq!(from_f64(1e-9).map(|price| plain(&price)), Some("0.000000001".to_owned()));
        assert_eq!(from_f64(f64::NAN), None);
    }

    proptest! {
        #[test]
        fn a_number_survives_its_text(whole in 0u64..1_000_000_000_000_000_000, part in "[0-9]{1,18}") {
            let number: Decimal = format!("{whole}.{part}").parse().expect("a number");
            prop_assert_eq!(number.to_string().parse::<Decimal>(), Ok(number));
        }

        #[test]
        fn no_text_panics(text in "(?s).{0,60}") {
            let _ = text.parse::<Decimal>();
        }
    }
}
