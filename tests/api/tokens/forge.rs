//! What forges tokens: the real key of a server, and cases of the table in [`forged`](super::forged).

use aws_lc_rs::{
    hmac,
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair},
};
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD as BASE64};
use diesel::RunQueryDsl;
use mintage::{
    config::{Secret, SecretKey},
    tokens::Sealer,
};
use serde_json::{Value, json};

use crate::support::{App, SECRET_KEY};

/// What the server is set to, and the key with which it signs.
pub struct Forge {
    pub pkcs8: Vec<u8>,
    pub token: String,
    pub header: Value,
    pub claims: Value,
}

pub fn part(token: &str, index: usize) -> Value {
    let part = token.split('.').nth(index).unwrap();
    serde_json::from_slice(&BASE64.decode(part).unwrap()).unwrap()
}

/// The members of an object without `name`, and with `text` as its value, if there is one.
pub fn object(members: &Value, name: &str, text: Option<&str>) -> String {
    let others = members.as_object().unwrap().iter().filter(|(other, _)| *other != name);
    let mut all: Vec<_> = others.map(|(name, value)| format!("{}:{value}", json!(name))).collect();
    all.extend(text.map(|text| format!("\"{name}\":{text}")));
    format!("{{{}}}", all.join(","))
}

/// All members of an object and one more.
pub fn and(members: &Value, name: &str, text: &str) -> String {
    let all = members.to_string();
    format!("{},\"{name}\":{text}}}", all.strip_suffix('}').unwrap())
}

impl Forge {
    /// Of the server that issued this token.
    pub fn of(app: &App, token: &str) -> Self {
        #[derive(diesel::QueryableByName)]
        struct Row {
            #[diesel(sql_type = diesel::sql_types::Text)]
            kid: String,
            #[diesel(sql_type = diesel::sql_types::Binary)]
            private_key: Vec<u8>,
        }
        let query = "SELECT kid, private_key FROM signing_keys WHERE state = 'current'";
        let row: Row = diesel::sql_query(query).get_result(&mut app.sql()).unwrap();
        let secret = SecretKey { current: Secret::new(SECRET_KEY), previous: None };
        let pkcs8 = Sealer::new(&secret).open(&row.private_key, &row.kid).unwrap().plain.clone();
        Self { pkcs8, token: token.to_owned(), header: part(token, 0), claims: part(token, 1) }
    }

    pub fn public(&self) -> Vec<u8> {
        Ed25519KeyPair::from_pkcs8(&self.pkcs8).unwrap().public_key().as_ref().to_vec()
    }

    pub fn message(&self) -> &str {
        self.token.rsplit_once('.').unwrap().0
    }

    pub fn signature(&self) -> &str {
        self.token.rsplit_once('.').unwrap().1
    }

    /// Signed by the server's own key, as if it had made this token.
    pub fn sign(&self, header: &Value, claims: &Value) -> String {
        self.sign_bytes(header.to_string().as_bytes(), claims.to_string().as_bytes())
    }

    pub fn sign_bytes(&self, header: &[u8], claims: &[u8]) -> String {
        self.sign_message(&format!("{}.{}", BASE64.encode(header), BASE64.encode(claims)))
    }

    pub fn sign_message(&self, message: &str) -> String {
        let signature = if let Ok(pair) = Ed25519KeyPair::from_pkcs8(&self.pkcs8) {
            pair.sign(message.as_bytes()).as_ref().to_vec()
        } else {
            let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &self.pkcs8).unwrap();
            pair.sign(&SystemRandom::new(), message.as_bytes()).unwrap().as_ref().to_vec()
        };
        format!("{message}.{}", BASE64.encode(signature))
    }

    /// Signed, with another or without this member of the header.
    pub fn header(&self, name: &str, text: Option<&str>) -> String {
        self.sign_bytes(object(&self.header, name, text).as_bytes(), self.claims.to_string().as_bytes())
    }

    /// Signed, with another or without this claim.
    pub fn claim(&self, name: &str, text: Option<&str>) -> String {
        self.sign_bytes(self.header.to_string().as_bytes(), object(&self.claims, name, text).as_bytes())
    }

    /// Signed, with other bytes as claims.
    pub fn payload(&self, bytes: &[u8]) -> String {
        self.sign_bytes(self.header.to_string().as_bytes(), bytes)
    }

    /// The true claims with another header and another signature.
    pub fn with(&self, header: &str, sign: impl FnOnce(&[u8]) -> Vec<u8>) -> String {
        let message = format!("{}.{}", BASE64.encode(header), BASE64.encode(self.claims.to_string()));
        let signature = sign(message.as_bytes());
        format!("{message}.{}", BASE64.encode(signature))
    }

    pub fn mac(&self, alg: &str, algorithm: hmac::Algorithm, secret: &[u8]) -> String {
        let header = object(&self.header, "alg", Some(&json!(alg).to_string()));
        let key = hmac::Key::new(algorithm, secret);
        self.with(&header, |message| hmac::sign(&key, message).as_ref().to_vec())
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Answer {
    /// 200: the controls, which show that the table sends what it says.
    Accepted,
    /// 401 `invalid-token`.
    Invalid,
    /// 401 `token-expired`.
    Expired,
    /// 401 `missing-token`.
    Missing,
    /// 400 or 431: not HTTP, or more of it than a server reads.
    NotHttp,
}

pub struct Case {
    pub name: String,
    /// The lines of the request head.
    pub fields: Vec<u8>,
    pub answer: Answer,
    /// Unless the case is about the fields.
    pub token: Option<Vec<u8>>,
}

pub fn field(name: impl Into<String>, answer: Answer, line: impl AsRef<[u8]>) -> Case {
    Case { name: name.into(), fields: [line.as_ref(), b"\r\n"].concat(), answer, token: None }
}

pub fn bearer(name: impl Into<String>, answer: Answer, token: impl AsRef<[u8]>) -> Case {
    let line = [b"Authorization: Bearer ", token.as_ref()].concat();
    Case { token: Some(token.as_ref().to_vec()), ..field(name, answer, line) }
}

pub fn invalid(name: impl Into<String>, token: impl AsRef<[u8]>) -> Case {
    bearer(name, Answer::Invalid, token)
}
