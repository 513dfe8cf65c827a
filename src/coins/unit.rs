//! Writes the numbers of a metric as people do: the sign and decimals of a currency, and as many digits as the data
//! supports.

use super::{history::Metric, number};

/// For numbers that are shown as they were entered.
const MAX_DECIMALS: usize = 12;

/// What a number counts.
#[derive(Clone, Copy, Debug)]
pub enum Unit<'a> {
    /// ISO 4217 code.
    Money(&'a str),
    /// From -1 to 1. The confidence intervals are some tenths wide, so more than two decimals would mean nothing.
    Sentiment,
    /// A ratio to bitcoin's.
    Popularity,
}

impl<'a> Unit<'a> {
    pub fn of(metric: Metric, currency: &'a str) -> Self {
        match metric {
            Metric::Price => Self::Money(currency),
            Metric::Sentiment => Self::Sentiment,
            Metric::Popularity => Self::Popularity,
        }
    }

    /// Writes a measured number with the digits that mean something: `£71,009.56`, `¥25.31`, `$0.00002345`, `0.16`.
    pub fn measured(self, value: f64) -> String {
        self.write(value, self.decimals(value))
    }

    /// As [`Unit::measured`], with at most six digits from 100,000 on, which people compare at a glance: `£1,997.02T`.
    pub fn drawn(self, value: f64) -> String {
        const LETTERS: [(f64, &str); 4] = [(1e12, "T"), (1e9, "B"), (1e6, "M"), (1.0, "")];
        let rounded = format!("{value:.5e}").parse().unwrap_or(value);
        if rounded.abs() < 1e5 {
            return self.measured(value);
        }
        let (divisor, letter) = LETTERS
            .into_iter()
            .find(|(divisor, _)| rounded.abs() >= *divisor)
            .expect("the last is below all");
        let scaled: f64 = rounded / divisor;
        let decimals = (0..5).find(|decimals| scaled.abs() >= 10f64.powi(5 - decimals)).unwrap_or(5);
        let digits = number::with_decimals(scaled, usize::try_from(decimals).expect("at most five"));
        let text = format!("{}{letter}", trimmed(digits, 0));
        match self {
            Self::Money(code) if sign(code).is_none() => format!("{code}\u{a0}{text}"),
            _ => self.signed(&text),
        }
    }

    /// Writes a number that a person entered, with all its digits: `£75,000`, `£1.005`, `0.3`.
    pub fn entered(self, value: f64) -> String {
        let decimals = entered_decimals(value);
        match self {
            Self::Money(_) => self.write(value, decimals),
            Self::Sentiment | Self::Popularity => number::with_decimals(value, decimals),
        }
    }

    /// Writes a measured number beside an entered one, with at least as many decimals.
    pub fn measured_beside(self, value: f64, entered: f64) -> String {
        self.write(value, self.decimals(value).max(entered_decimals(entered)))
    }

    /// Puts the sign of the currency, if it has one, before a number.
    pub fn signed(self, number: &str) -> String {
        let Some(sign) = self.sign() else { return number.to_owned() };
        match number.strip_prefix('\u{2212}') {
            Some(number) => format!("\u{2212}{sign}{number}"),
            None => format!("{sign}{number}"),
        }
    }

    pub fn sign(self) -> Option<&'static str> {
        match self {
            Self::Money(code) => sign(code),
            Self::Sentiment | Self::Popularity => None,
        }
    }

    fn write(self, value: f64, decimals: usize) -> String {
        let least = match self {
            Self::Money(code) => minor_digits(code),
            Self::Sentiment => 2,
            Self::Popularity => 0,
        };
        let text = number::with_decimals(value, decimals.max(least));
        match self {
            Self::Sentiment => text,
            Self::Popularity => trimmed(text, least),
            // Not broken at the end of a line.
            Self::Money(code) if sign(code).is_none() => format!("{code}\u{a0}{}", trimmed(text, least)),
            Self::Money(_) => self.signed(&trimmed(text, least)),
        }
    }

    fn decimals(self, value: f64) -> usize {
        let magnitude = value.abs();
        match self {
            Self::Sentiment => 2,
            Self::Popularity if magnitude >= 0.1 => 2,
            Self::Popularity => significant(magnitude, 2),
            Self::Money(code) if magnitude >= 1000.0 => minor_digits(code),
            Self::Money(code) if magnitude >= 100.0 => minor_digits(code).max(1),
            Self::Money(code) if magnitude >= 1.0 => minor_digits(code) + 2,
            Self::Money(_) => significant(magnitude, 4),
        }
    }
}

/// Decimals for so many significant digits of a number below 1.
fn significant(magnitude: f64, digits: usize) -> usize {
    if magnitude <= 0.0 {
        return 0;
    }
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "from 0 to 8")]
    let zeros = (-magnitude.log10()).floor().clamp(0.0, 8.0) as usize;
    zeros + digits
}

fn entered_decimals(value: f64) -> usize {
    // The shortest text that is this number.
    let text = value.to_string();
    text.split_once('.').map_or(0, |(_, part)| part.len()).min(MAX_DECIMALS)
}

/// Removes zeros at the end: all decimals of a whole number, otherwise down to `least` decimals.
fn trimmed(mut text: String, least: usize) -> String {
    let Some((whole, part)) = text.split_once('.') else { return text };
    let used = part.trim_end_matches('0').len();
    let end = whole.len() + if used == 0 { 0 } else { 1 + used.max(least).min(part.len()) };
    text.truncate(end);
    text
}

/// Signs as English texts use them (CLDR 46, locale `en`). Other currencies are written with their code.
fn sign(code: &str) -> Option<&'static str> {
    const SIGNS: [(&str, &str); 18] = [
        ("AUD", "A$"),
        ("BRL", "R$"),
        ("CAD", "CA$"),
        ("CNY", "CN\u{a5}"),
        ("EUR", "\u{20ac}"),
        ("GBP", "\u{a3}"),
        ("HKD", "HK$"),
        ("ILS", "\u{20aa}"),
        ("INR", "\u{20b9}"),
        ("JPY", "\u{a5}"),
        ("KRW", "\u{20a9}"),
        ("MXN", "MX$"),
        ("NZD", "NZ$"),
        ("PHP", "\u{20b1}"),
        ("TWD", "NT$"),
        ("USD", "$"),
        ("VND", "\u{20ab}"),
        ("XCD", "EC$"),
    ];
    SIGNS.iter().find(|(known, _)| *known == code).map(|(_, sign)| *sign)
}

/// Decimals of the smallest unit (ISO 4217, table A.1).
fn minor_digits(code: &str) -> usize {
    match code {
        "BIF" | "CLP" | "DJF" | "GNF" | "ISK" | "JPY" | "KMF" | "KRW" | "PYG" | "RWF" | "UGX" | "UYI"
        | "VND" | "VUV" | "XAF" | "XOF" | "XPF" => 0,
        "BHD" | "IQD" | "JOD" | "KWD" | "LYD" | "OMR" | "TND" => 3,
        "CLF" | "UYW" => 4,
        _ => 2,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn amounts_have_the_sign_and_the_decimals_of_their_currency() {
        for (value, code, text) in [
            (71_009.561, "GBP", "\u{a3}71,009.56"),
            (75_000.0, "GBP", "\u{a3}75,000"),
            (49_000.5, "USD", "$49,000.50"),
            (2.5, "EUR", "\u{20ac}2.50"),
            (1.000_21, "USD", "$1.0002"),
            (0.999_812, "USD", "$0.9998"),
            (0.000_008_123, "USD", "$0.000008123"),
            (10_512_345.4, "JPY", "\u{a5}10,512,345"),
            (153.94, "JPY", "\u{a5}153.9"),
            (999.126, "USD", "$999.13"),
            (25.312, "JPY", "\u{a5}25.31"),
            (21_234.567_8, "KWD", "KWD\u{a0}21,234.568"),
            (69_016.88, "CHF", "CHF\u{a0}69,016.88"),
            (-5.25, "GBP", "\u{2212}\u{a3}5.25"),
            (0.0, "GBP", "\u{a3}0"),
            (1e-30, "GBP", "\u{a3}0"),
        ] {
            assert_eq!(Unit::Money(code).measured(value), text);
        }
    }

    #[test]
    fn drawn_numbers_have_six_digits_at_most_from_a_hundred_thousand_on() {
        for (value, code, text) in [
            (71_009.561, "GBP", "\u{a3}71,009.56"),
            (99_999.99, "GBP", "\u{a3}100,000"),
            (123_456.78, "GBP", "\u{a3}123,457"),
            (999_999.6, "USD", "$1M"),
            (1_234_567.0, "USD", "$1.23457M"),
            (10_512_345.4, "JPY", "\u{a5}10.5123M"),
            (250_000_000.0, "CHF", "CHF\u{a0}250M"),
            (1_997_023_809_523_809.5, "GBP", "\u{a3}1,997.02T"),
            (1e21, "GBP", "\u{a3}1,000,000,000T"),
            (0.000_008_123, "USD", "$0.000008123"),
        ] {
            assert_eq!(Unit::Money(code).drawn(value), text);
        }
        assert_eq!(
            (Unit::Popularity.drawn(0.3124), Unit::Sentiment.drawn(-0.2228)),
            ("0.31".into(), "\u{2212}0.22".into())
        );
    }

    #[test]
    fn sentiment_has_two_decimals_and_popularity_two_digits() {
        for (value, text) in [(0.004_829, "0.00"), (0.076_56, "0.08"), (-0.2228, "\u{2212}0.22")] {
            assert_eq!(Unit::Sentiment.measured(value), text);
        }
        for (value, text) in [(0.3124, "0.31"), (1.0, "1"), (0.004_21, "0.0042"), (12.5, "12.5")] {
            assert_eq!(Unit::Popularity.measured(value), text);
        }
    }

    #[test]
    fn entered_numbers_keep_their_digits_and_measured_ones_beside_them_have_as_many() {
        for (value, text) in
            [(75_000.0, "$75,000"), (1.005, "$1.005"), (1000.125, "$1,000.125"), (0.5, "$0.50")]
        {
            assert_eq!(Unit::Money("USD").entered(value), text);
        }
        assert_eq!(Unit::Sentiment.entered(0.3), "0.3");
        assert_eq!(Unit::Money("USD").measured_beside(1000.1254, 1000.125), "$1,000.125");
        assert_eq!(Unit::Money("JPY").measured_beside(150.6, 150.5), "\u{a5}150.6");
    }

    proptest! {
        #[test]
        fn every_number_is_written_in_a_bounded_length(value in proptest::num::f64::NORMAL) {
            let value = value.clamp(-1e15, 1e15);
            for unit in [Unit::Money("USD"), Unit::Money("JPY"), Unit::Sentiment, Unit::Popularity] {
                for text in [unit.measured(value), unit.drawn(value), unit.entered(value), unit.measured_beside(value, value)] {
                    prop_assert!(!text.is_empty() && text.chars().count() <= 40, "{text}");
                }
            }
        }
    }
}
