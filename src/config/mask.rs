//! Removes secrets from texts of other services, which repeat keys and passwords in their errors: errors are logged,
//! stored and shown to admins.

use std::{borrow::Cow, collections::BTreeSet, fmt, sync::Arc};

use base64::{
    Engine,
    prelude::{BASE64_STANDARD_NO_PAD, BASE64_URL_SAFE_NO_PAD},
};
use memchr::memmem;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

const MASK: &[u8] = b"[secret]";
/// Shorter secrets are not masked, since they occur in ordinary words.
const MIN_LEN: usize = 4;
/// All but the unreserved characters of RFC 3986, section 2.3.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Secrets in every form in which a service may repeat them; cheap to clone.
#[derive(Clone, Default)]
pub struct Mask(Arc<[Vec<u8>]>);

impl fmt::Debug for Mask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Mask of {} forms", self.0.len())
    }
}

impl Mask {
    /// Masks each secret in plain, percent-encoded and decoded, in base64, and escaped as in JSON.
    pub fn new<'a>(secrets: impl IntoIterator<Item = &'a str>) -> Self {
        let forms: BTreeSet<Vec<u8>> =
            secrets.into_iter().flat_map(forms).filter(|form| form.len() >= MIN_LEN).collect();
        let mut forms: Vec<_> = forms.into_iter().collect();
        // One may be a part of another.
        forms.sort_by_key(|form| std::cmp::Reverse(form.len()));
        Self(forms.into())
    }

    /// Replaces each secret in bytes by `[secret]`.
    pub fn bytes<'a>(&self, bytes: impl Into<Cow<'a, [u8]>>) -> Cow<'a, [u8]> {
        self.0.iter().fold(bytes.into(), |bytes, form| {
            let found: Vec<_> = memmem::find_iter(&bytes, form).collect();
            if found.is_empty() {
                return bytes;
            }
            let mut masked = Vec::with_capacity(bytes.len());
            let mut rest = 0;
            for at in found {
                masked.extend_from_slice(&bytes[rest..at]);
                masked.extend_from_slice(MASK);
                rest = at + form.len();
            }
            masked.extend_from_slice(&bytes[rest..]);
            masked.into()
        })
    }

    /// Replaces each secret in a text by `[secret]`.
    pub fn text(&self, text: &str) -> String {
        String::from_utf8_lossy(&self.bytes(text.as_bytes())).into_owned()
    }
}

fn forms(secret: &str) -> Vec<Vec<u8>> {
    let json = serde_json::to_string(secret).expect("a text");
    let json = json.trim_matches('"');
    vec![
        secret.into(),
        utf8_percent_encode(secret, RESERVED).to_string().into(),
        utf8_percent_encode(secret, NON_ALPHANUMERIC).to_string().into(),
        percent_decode_str(secret).collect(),
        BASE64_STANDARD_NO_PAD.encode(secret).into(),
        BASE64_URL_SAFE_NO_PAD.encode(secret).into(),
        json.into(),
        json.replace('/', "\\/").into(),
    ]
}

#[cfg(test)]
mod tests {
    use base64::prelude::BASE64_STANDARD;

    use super::*;

    #[test]
    fn a_secret_is_found_in_every_usual_form() {
        let secret = "AAAA%2Fb+c/d\"e=";
        let mask = Mask::new([secret]);
        for form in [
            secret.to_owned(),
            "AAAA%252Fb%2Bc%2Fd%22e%3D".to_owned(),
            "AAAA/b+c/d\"e=".to_owned(),
            BASE64_STANDARD.encode(secret),
            r#"AAAA%2Fb+c/d\"e="#.to_owned(),
            r#"AAAA%2Fb+c\/d\"e="#.to_owned(),
        ] {
            let masked = mask.text(&format!("<{form}> and {form}."));
            assert!(
                masked.starts_with("<[secret]") && !masked.contains("AAAA") && !masked.contains("QUFB"),
                "{masked}"
            );
        }
    }

    #[test]
    fn the_rest_stays_as_it_is() {
        let mask = Mask::new(["abcd", "abcdefgh", "", "x"]);
        assert_eq!(mask.text("é abcdefgh-abcdé xabcdabcd"), "é [secret]-[secret]é x[secret][secret]");
        assert_eq!(mask.text("a text without"), "a text without");
        assert_eq!(&*mask.bytes(&b"\xffabcd\xff"[..]), b"\xff[secret]\xff");
        assert_eq!(Mask::default().text("abcd"), "abcd");
        assert!(!format!("{mask:?}").contains("abcd"));
    }
}
