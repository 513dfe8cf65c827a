//! Writes a list of coins as a table (RFC 4180).

use std::fmt::Write;

use serde_json::Value;

use super::{body::Provenance, fields::Fields};
use crate::{http::csv_cell, market::Coin};

/// Writes a row per coin: the selected fields, then currency, source, time and staleness. Null is an empty cell.
pub fn table(coins: &[&Coin], fields: &Fields, provenance: &Provenance) -> String {
    let columns: Vec<&str> = fields.columns().collect();
    let mut text = columns.join(",") + ",currency,source,as_of,stale\r\n";
    let end = format!(
        ",{},{},{},{}\r\n",
        csv_cell(&provenance.currency),
        csv_cell(&provenance.source),
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
                Some(Value::String(words)) => text += &csv_cell(words),
                Some(Value::Array(items)) => {
                    let words: Vec<&str> = items.iter().filter_map(Value::as_str).collect();
                    text += &csv_cell(&words.join(" "));
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
