//! Writes a list of coins as a table (RFC 4180).

use std::fmt::Write;

use serde_json::Value;
use unicode_normalization::UnicodeNormalization;

use super::{body::Provenance, fields::Fields};
use crate::market::Coin;

/// Writes a row per coin: the selected fields, then currency, source, time and staleness. Null is an empty cell.
pub fn table(coins: &[&Coin], fields: &Fields, provenance: &Provenance) -> String {
    let columns: Vec<&str> = fields.columns().collect();
    let mut text = columns.join(",") + ",currency,source,as_of,stale\r\n";
    let end = format!(
        ",{},{},{},{}\r\n",
        cell(&provenance.currency),
        cell(&provenance.source),
        provenance.as_of.format("%Y-%m-%dT%H:%M:%SZ"),
        provenance.stale
    );
    for coin in coins {
        let value = serde_json::to_value(coin).expect("the types of the API serialise");
        for (index, column) in columns.iter().enumerate() {
            if index > 0 {
                text.push(',');
            }
            let inner = column.split('.').try_fold(&value, |value, name| value.get(name));
            match inner {
                None | Some(Value::Null) => {}
                Some(Value::String(words)) => text += &cell(words),
                Some(Value::Array(items)) => {
                    let words: Vec<&str> = items.iter().filter_map(Value::as_str).collect();
                    text += &cell(&words.join(" "));
                }
                Some(number) => {
                    let _ = write!(text, "{number}");
                }
            }
        }
        text += &end;
    }
    text
}

/// Quotes a text. Names come from providers, so a text that a spreadsheet might run as a formula gets an apostrophe
/// (OWASP, CSV Injection). Spreadsheets skip leading blanks and accept full-width signs like the ASCII ones.
fn cell(text: &str) -> String {
    let begin = text.trim_start_matches(|c: char| c.is_whitespace() || c.is_control());
    let sign = begin.nfkc().next();
    let is_formula =
        text.starts_with(['\t', '\r', '\n']) || sign.is_some_and(|sign| ['=', '+', '-', '@'].contains(&sign));
    let safe = if is_formula { format!("'{text}") } else { text.to_owned() };
    if is_formula || safe.contains([',', '"', '\r', '\n']) {
        return format!("\"{}\"", safe.replace('"', "\"\""));
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_stays_in_its_cell_and_is_no_formula() {
        for (text, expected) in [
            ("Bitcoin", "Bitcoin"),
            ("a,b", "\"a,b\""),
            ("a\"b\r\nc", "\"a\"\"b\r\nc\""),
            ("=1+1", "\"'=1+1\""),
            ("+1", "\"'+1\""),
            ("-1", "\"'-1\""),
            ("@SUM(A1)", "\"'@SUM(A1)\""),
            ("\t=1", "\"'\t=1\""),
            ("\r=1", "\"'\r=1\""),
            ("\n=1", "\"'\n=1\""),
            ("\tBitcoin", "\"'\tBitcoin\""),
            ("\u{ff1d}1+1", "\"'\u{ff1d}1+1\""),
            ("\u{ff0b}1", "\"'\u{ff0b}1\""),
            ("\u{ff0d}1", "\"'\u{ff0d}1\""),
            ("\u{ff20}SUM(A1)", "\"'\u{ff20}SUM(A1)\""),
            ("\u{fe66}1", "\"'\u{fe66}1\""),
            (" =1+1", "\"' =1+1\""),
            (" \t\r\u{3000}\u{ff1d}1", "\"' \t\r\u{3000}\u{ff1d}1\""),
            (" Bitcoin", " Bitcoin"),
            ("Bit-coin=", "Bit-coin="),
            ("", ""),
            ("  ", "  "),
        ] {
            assert_eq!(cell(text), expected);
        }
    }
}
