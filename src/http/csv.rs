//! Writes cells of CSV (RFC 4180).

use unicode_normalization::UnicodeNormalization;

/// Quotes a text. It comes from strangers, so one that a spreadsheet might run as a formula gets an apostrophe
/// (OWASP, CSV Injection). Spreadsheets skip leading blanks and accept full-width signs like the ASCII ones. Where a comma
/// is the decimal sign, they separate cells by semicolons, so a text with one is quoted too.
pub fn csv_cell(text: &str) -> String {
    let begin = text.trim_start_matches(|c: char| c.is_whitespace() || c.is_control());
    let sign = begin.nfkc().next();
    let is_formula =
        text.starts_with(['\t', '\r', '\n']) || sign.is_some_and(|sign| ['=', '+', '-', '@'].contains(&sign));
    let safe = if is_formula { format!("'{text}") } else { text.to_owned() };
    if is_formula || safe.contains([',', ';', '"', '\r', '\n']) {
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
            ("a;b", "\"a;b\""),
            ("a;=1+1", "\"a;=1+1\""),
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
            assert_eq!(csv_cell(text), expected);
        }
    }
}
