//! Whether a secret looks generated rather than written by a person.
//!
//! No function can prove randomness. This one refuses what people use instead of a random value: placeholders, words,
//! repetitions, sequences of the alphabet or the keyboard, and encoded text.

use base64::{
    Engine, alphabet,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};

/// In characters; zxcvbn checks at most 100.
const MIN_LEN: usize = 32;
const MAX_CHECKED: usize = 100;
/// Decimal digits of guesses for the whole text. The estimate stops at 2^64 guesses; a random text reaches that.
const WHOLE: f64 = 19.0;
/// Numbers of characters that are estimated at a time, since the estimate stops at 2^64.
const WINDOWS: [usize; 3] = [8, 12, 16];
/// Decimal digits of guesses per character; zxcvbn gives 1 to an unpredictable one. Of some 20,000 generated keys none
/// had less than 0.79 in hex, in which digits form dates and sequences by chance, and none less than 0.87 in base64;
/// text of English words has up to 0.83.
const HEX: f64 = 0.7;
const MIXED: f64 = 0.84;
/// Minimum of letters of each case outside of hex: 32 random bytes in base64 have 17 on average.
const EACH_CASE: usize = 3;

/// A cheap check that refuses short and monotonous values.
pub(super) fn is_long_enough(key: &str) -> bool {
    let distinct: std::collections::HashSet<_> = key.bytes().collect();
    key.len() >= MIN_LEN && distinct.len() >= 8
}

/// Whether a key may be the output of a generator such as `openssl rand -base64 32` or `-hex 32`: hex (also
/// with dashes, as in UUIDs), or printable ASCII in which upper and lower case are mixed.
pub(super) fn looks_random(key: &str) -> bool {
    if !is_long_enough(key) || !key.bytes().all(|byte| byte.is_ascii_graphic()) {
        return false;
    }
    let digits: String = key.chars().filter(|c| *c != '-').collect();
    if digits.len() >= MIN_LEN && digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        let bytes: Vec<u8> = digits.as_bytes().chunks(2).filter_map(from_hex).collect();
        return !is_text(&bytes) && is_hard_to_guess(&digits, HEX);
    }
    let count = |is: fn(&u8) -> bool| key.bytes().filter(is).count();
    let mixed = count(u8::is_ascii_uppercase).min(count(u8::is_ascii_lowercase)) >= EACH_CASE;
    mixed && !decodes_to_text(key) && is_hard_to_guess(key, MIXED)
}

fn is_hard_to_guess(key: &str, least: f64) -> bool {
    let guesses = |text: &[u8]| {
        let text = str::from_utf8(text).expect("it is ASCII");
        zxcvbn::zxcvbn(text, &[]).guesses_log10()
    };
    let key = &key.as_bytes()[..key.len().min(MAX_CHECKED)];
    let length = f64::from(u8::try_from(key.len()).expect("at most 100"));
    WINDOWS.iter().all(|size| key.chunks(*size).map(guesses).sum::<f64>() >= least * length)
        && guesses(key) >= WHOLE
}

fn from_hex(pair: &[u8]) -> Option<u8> {
    u8::from_str_radix(str::from_utf8(pair).ok()?, 16).ok()
}

fn decodes_to_text(key: &str) -> bool {
    let config = GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true);
    [alphabet::STANDARD, alphabet::URL_SAFE]
        .iter()
        .any(|alphabet| GeneralPurpose::new(alphabet, config).decode(key).is_ok_and(|bytes| is_text(&bytes)))
}

/// 16 random bytes are printable ASCII once in ten millions.
fn is_text(bytes: &[u8]) -> bool {
    bytes.iter().all(|byte| byte.is_ascii_graphic() || byte.is_ascii_whitespace())
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::digest::{SHA256, digest};
    use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};
    use uuid::Uuid;

    use super::*;

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
    }

    #[test]
    fn what_people_write_is_refused() {
        for key in [
            "",
            "Short1",
            "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
            "change-me-change-me-change-me-please",
            "Change-Me-Change-Me-Change-Me-Please",
            "changemechangemechangemechangeme",
            "your-256-bit-secret-your-256-bit-secret",
            "your-256-bit-secret-goes-here-replace-it",
            "abcdefghijklmnopqrstuvwxyz0123456789",
            "AbCdEfGhIjKlMnOpQrStUvWxYz0123456789",
            "0123456789abcdef0123456789abcdef",
            "00112233445566778899aabbccddeeff",
            "deadbeefdeadbeefdeadbeefdeadbeef",
            "qwertyuiopasdfghjklzxcvbnm1234567890",
            "Qwertyuiop1234567890Asdfghjkl!Zxcvbnm",
            "P@ssw0rdP@ssw0rdP@ssw0rdP@ssw0rd",
            "S3cr3tK3yF0rPr0duct10nMintage2026!!",
            "ThisIsMySecretKeyForMintageProduction2026",
            "MySuperSecretJwtSigningKeyForTheMintageApi1",
            "CorrectHorseBatteryStapleCorrectHorseBattery",
            "correct horse battery staple correct horse",
            "this is a very long secret key for production",
            "The operator has chosen a sentence in English as the secret of this service",
            "mintage-production-secret-key-2026-do-not-share",
            "GENERATE_A_LONG_RANDOM_STRING_HERE_AND_KEEP_IT",
            "dasisteinsehrlangergeheimerschluessel",
            "Mintage2026Mintage2026Mintage2026",
            // A JWT's header, and text in base64 and in hex.
            "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9",
            "WW91ckxvbmdTZWNyZXRHb2VzSGVyZVBsZWFzZQ==",
            "796f75722d3235362d6269742d736563726574",
        ] {
            assert!(!looks_random(key), "{key}");
        }
    }

    #[test]
    fn what_generators_print_is_accepted() {
        for key in [
            // openssl rand -base64 32, -hex 32, -hex 16; two UUIDs; a password manager.
            "vv9HPSZBwAwdvbt1rKocUaHXR13TL1YZ5ofdEV0H/EY=",
            "e1340f27afe75b461f2f1a1c98e588abe2c4594fc921622054ea054a8e9bbaac",
            "206afacb52cb66f1863385057496c47a",
            "5057d675-286d-4f78-a3aa-c0af06011b8a-984d117c-c080-4819-9f3d-055b916a18b1",
            "5057d675286d4f78a3aac0af06011b8a984d117cc08048199f3d055b916a18b1",
            "Rk7#vT!q2Lz@9wXp$4mN^c8YbH%6sDfG&1jK",
        ] {
            assert!(looks_random(key), "{key}");
        }
    }

    #[test]
    fn random_bytes_are_accepted_in_every_usual_encoding() {
        for number in 0..8_u8 {
            // As good as random, and the same in every run.
            let bytes = digest(&SHA256, &[number]);
            let bytes = bytes.as_ref();
            let uuid = |half: &[u8]| Uuid::from_slice(half).expect("16 bytes");
            for key in [
                BASE64_STANDARD.encode(bytes),
                BASE64_URL_SAFE_NO_PAD.encode(bytes),
                hex(bytes),
                hex(bytes).to_uppercase(),
                format!("{}{}", uuid(&bytes[..16]), uuid(&bytes[16..])),
            ] {
                assert!(looks_random(&key), "{key}");
            }
        }
    }

    #[test]
    fn a_longer_key_is_no_worse() {
        let key: String =
            (0..200_u8).map(|number| BASE64_STANDARD.encode(digest(&SHA256, &[number]))).collect();
        assert!(looks_random(&key));
        assert!(!looks_random(&"Change-Me-".repeat(10_000)));
    }
}
