//! Formats numbers for people.

/// Separates thousands and rounds to a number of decimals.
pub fn with_decimals(value: f64, decimals: usize) -> String {
    let text = format!("{:.decimals$}", value.abs());
    let (whole, part) = text.split_once('.').unwrap_or((&text, ""));
    let is_zero = text.bytes().all(|byte| !byte.is_ascii_digit() || byte == b'0');
    let mut grouped = String::from(if value < 0.0 && !is_zero { "\u{2212}" } else { "" });
    for (index, digit) in whole.chars().enumerate() {
        if index > 0 && (whole.len() - index) % 3 == 0 {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    if !part.is_empty() {
        grouped.push('.');
        grouped += part;
    }
    grouped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_are_separated_and_zero_has_no_sign() {
        for (value, decimals, text) in [
            (70211.4421, 2, "70,211.44"),
            (1_234_567.0, 0, "1,234,567"),
            (999.0, 0, "999"),
            (-1000.5, 1, "\u{2212}1,000.5"),
            (-0.0, 0, "0"),
            (-0.001, 2, "0.00"),
        ] {
            assert_eq!(with_decimals(value, decimals), text);
        }
    }
}
