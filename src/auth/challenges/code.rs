//! Makes and reads the codes that people type from a mail.

/// The form of a code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CodeForm {
    /// 20 bits, where an access token and the current password are required too.
    SixDigits,
    /// 40 bits in Crockford's base 32, where the code alone is enough. The alphabet has no letters that look like
    /// digits.
    EightCharacters,
}

const ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";

impl CodeForm {
    /// Makes a code from random bits.
    pub fn make(self, random: u64) -> String {
        match self {
            Self::SixDigits => format!("{:06}", random % 1_000_000),
            Self::EightCharacters => {
                (0..8).map(|index| char::from(ALPHABET[(random >> (5 * index) & 31) as usize])).collect()
            }
        }
    }

    /// Returns a typed code as [`CodeForm::make`] writes it: without spaces and dashes, in upper case, O as 0, I and L
    /// as 1. None if it is not a code of this form.
    pub fn read(self, typed: &str) -> Option<String> {
        match self {
            Self::SixDigits => {
                let is_code = typed.len() == 6 && typed.bytes().all(|byte| byte.is_ascii_digit());
                is_code.then(|| typed.to_owned())
            }
            Self::EightCharacters => {
                let kept = typed.chars().filter(|c| !matches!(c, ' ' | '-')).take(9);
                let code = kept.map(read_character).collect::<Option<String>>()?;
                (code.len() == 8 && typed.len() <= 16).then_some(code)
            }
        }
    }

    /// Wrong attempts from all networks together after which no code is accepted any more. One network reaches its own
    /// limit earlier.
    pub fn max_tries(self) -> i16 {
        match self {
            Self::SixDigits => 5,
            Self::EightCharacters => 1000,
        }
    }
}

fn read_character(c: char) -> Option<char> {
    let c = match c.to_ascii_uppercase() {
        'O' => '0',
        'I' | 'L' => '1',
        c => c,
    };
    ALPHABET.contains(&u8::try_from(c).ok()?).then_some(c)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_code_that_was_made_can_be_read(random: u64) {
            for form in [CodeForm::SixDigits, CodeForm::EightCharacters] {
                let code = form.make(random);
                prop_assert_eq!(form.read(&code), Some(code));
            }
        }

        #[test]
        fn reading_any_text_never_panics_and_is_stable(typed: String) {
            for form in [CodeForm::SixDigits, CodeForm::EightCharacters] {
                if let Some(code) = form.read(&typed) {
                    prop_assert_eq!(form.read(&code), Some(code));
                }
            }
        }
    }

    #[test]
    fn a_code_is_read_as_people_type_it() {
        let read = |typed| CodeForm::EightCharacters.read(typed);
        for typed in ["K7QM01XP", "k7qm-o1xp", " K7QM OLXP", "k7qm-0ixp "] {
            assert_eq!(read(typed).as_deref(), Some("K7QM01XP"), "{typed}");
        }
        for typed in ["", "K7QM01X", "K7QM01XPA", "K7QM01XU", "K7QM01Xé", "k-7-q-m-0-1-x-p- - -"] {
            assert_eq!(read(typed), None, "{typed}");
        }
    }

    #[test]
    fn six_digits_are_typed_as_they_are() {
        let read = |typed| CodeForm::SixDigits.read(typed);
        assert_eq!(read("012345").as_deref(), Some("012345"));
        for typed in ["", "12345", "1234567", "12345a", "123 456", "１２３４５６"] {
            assert_eq!(read(typed), None, "{typed}");
        }
    }

    #[test]
    fn all_32_characters_are_used() {
        let codes: String = (0..200)
            .map(|n: u64| CodeForm::EightCharacters.make(n.wrapping_mul(0x9E37_79B9_7F4A_7C15)))
            .collect();
        assert_eq!(codes.bytes().collect::<std::collections::HashSet<_>>().len(), 32);
    }
}
