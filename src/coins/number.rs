//! Formats numbers for people.

/// Separates thousands and keeps the significant decimals: `70,211.44`, `0.000008123`.
pub fn exact(value: f64) -> String {
    let magnitude = value.abs();
    let decimals = match magnitude {
        _ if magnitude >= 1000.0 => 2,
        _ if magnitude >= 1.0 => 4,
        _ if magnitude > 0.0 => {
            // Four significant digits.
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "from 1 to 12")]
            let zeros = (-magnitude.log10()).floor().clamp(0.0, 8.0) as usize;
            zeros + 4
        }
        _ => 0,
    };
    let text = with_decimals(value, decimals);
    if !text.contains('.') {
        return text;
    }
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

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
    fn numbers_are_readable_from_the_smallest_to_the_largest() {
        for (value, text) in [
            (70211.4421, "70,211.44"),
            (75000.0, "75,000"),
            (1_234_567.0, "1,234,567"),
            (999.0, "999"),
            (2.5, "2.5"),
            (0.7642, "0.7642"),
            (0.000_008_123, "0.000008123"),
            (-0.25, "\u{2212}0.25"),
            (-0.0, "0"),
            (0.0, "0"),
            (1e-30, "0"),
        ] {
            assert_eq!(exact(value), text);
        }
        assert_eq!(with_decimals(-0.001, 2), "0.00");
    }
}
