//! The part of the table in [`forged`](super::forged) that is about what a token says.

use aws_lc_rs::{
    hmac,
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair},
};
use base64::{
    Engine,
    prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD as BASE64},
};
use mintage::tokens::derive_key;
use serde_json::{Value, json};

use super::forge::{Answer, Case, Forge, and, bearer, invalid, object, part};
use crate::support::SECRET_KEY;

pub fn algorithms(forge: &Forge) -> Vec<Case> {
    let mut cases = Vec::new();
    for alg in ["none", "None", "NONE", "nOnE"] {
        let header = object(&forge.header, "alg", Some(&json!(alg).to_string()));
        cases.push(invalid(format!("alg {alg} without a signature"), forge.with(&header, |_| Vec::new())));
        cases.push(invalid(
            format!("alg {alg} with a true signature"),
            forge.header("alg", Some(&json!(alg).to_string())),
        ));
    }
    for alg in ["ES256", "ES384", "RS256", "PS256", "HS256", "Ed448", "eddsa", "Ed25519", ""] {
        let text = json!(alg).to_string();
        cases
            .push(invalid(format!("alg {alg:?} signed with the true key"), forge.header("alg", Some(&text))));
    }
    for (name, text) in [
        ("missing", None),
        ("null", Some("null")),
        ("a number", Some("1")),
        ("an array", Some("[\"EdDSA\"]")),
    ] {
        cases.push(invalid(format!("alg is {name}"), forge.header("alg", text)));
    }
    let raw = forge.public();
    // SubjectPublicKeyInfo (RFC 8410 section 4).
    let der = [&[0x30, 0x2a, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 3, 0x21, 0], raw.as_slice()].concat();
    let pem =
        format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", BASE64_STANDARD.encode(&der));
    let x = BASE64.encode(&raw);
    let jwk = json!({"kty": "OKP", "crv": "Ed25519", "x": x}).to_string();
    let kid = forge.header["kid"].as_str().unwrap();
    for (name, secret) in [
        ("the public key as PEM", pem.as_bytes()),
        ("the public key as PEM without the last line end", pem.trim_end().as_bytes()),
        ("the public key as DER", &der),
        ("the public key as bytes", &raw),
        ("the x of the JWK", x.as_bytes()),
        ("the JWK", jwk.as_bytes()),
        ("the kid", kid.as_bytes()),
        ("nothing", b""),
        ("the key of refresh tokens", &derive_key(&forge.pkcs8, b"refresh tokens v1")),
        ("the setting SECRET_KEY", SECRET_KEY.as_bytes()),
    ] {
        cases.push(invalid(format!("HS256 under {name}"), forge.mac("HS256", hmac::HMAC_SHA256, secret)));
    }
    cases.push(invalid("HS384 under the public key", forge.mac("HS384", hmac::HMAC_SHA384, &raw)));
    cases.push(invalid("HS512 under the public key", forge.mac("HS512", hmac::HMAC_SHA512, &raw)));
    let own = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
    let header = object(&forge.header, "alg", Some("\"ES256\""));
    let sign = |message: &[u8]| own.sign(&SystemRandom::new(), message).unwrap().as_ref().to_vec();
    cases.push(invalid("ES256 under a key of the attacker", forge.with(&header, sign)));
    cases
}

/// Keys that the token names or brings with it.
pub fn keys(forge: &Forge, next: &str) -> Vec<Case> {
    let own = Ed25519KeyPair::generate().unwrap();
    let own_sign = |message: &[u8]| own.sign(message).as_ref().to_vec();
    let mut cases =
        vec![invalid("signed with a key of the attacker", forge.with(&forge.header.to_string(), own_sign))];
    let next = json!(next).to_string();
    for (name, text) in [
        ("missing", None),
        ("null", Some("null")),
        ("empty", Some("\"\"")),
        ("unknown", Some("\"unknown\"")),
        ("that of another key of the ring", Some(next.as_str())),
        ("a path", Some("\"../../../../dev/null\"")),
        ("SQL", Some("\"' UNION SELECT 'x' --\"")),
        ("a command", Some("\"|sleep 9\"")),
        ("an address", Some("\"https://attacker.example/key\"")),
        ("with a NUL", Some("\"a\\u0000b\"")),
        ("a number", Some("1")),
        ("an array", Some("[\"a\"]")),
        ("an object", Some("{\"a\":1}")),
    ] {
        cases.push(invalid(format!("kid is {name}"), forge.header("kid", text)));
    }
    let x = BASE64.encode(own.public_key());
    let jwk = json!({"kty": "OKP", "crv": "Ed25519", "x": x}).to_string();
    for (name, text) in [
        ("jwk", jwk.as_str()),
        ("jku", "\"https://attacker.example/jwks.json\""),
        ("x5u", "\"https://attacker.example/cert.pem\""),
        ("x5c", "[\"MIIB\"]"),
        ("x5t", "\"AAAA\""),
        ("x5t#S256", "\"AAAA\""),
    ] {
        cases.push(invalid(
            format!("{name} and its signature"),
            forge.with(&and(&forge.header, name, text), own_sign),
        ));
        cases.push(invalid(format!("{name} beside a true signature"), forge.header(name, Some(text))));
    }
    cases
}

/// Other kinds of tokens, and other forms of this one.
pub fn kinds(forge: &Forge, refresh: &str) -> Vec<Case> {
    let mut cases = Vec::new();
    for (name, text) in [
        ("missing", None),
        ("null", Some("null")),
        ("an array", Some("[\"at+jwt\"]")),
        ("JWT", Some("\"JWT\"")),
        ("rt+jwt", Some("\"rt+jwt\"")),
        ("at+JWT", Some("\"at+JWT\"")),
        ("application/at+jwt", Some("\"application/at+jwt\"")),
        ("logout+jwt", Some("\"logout+jwt\"")),
        ("dpop+jwt", Some("\"dpop+jwt\"")),
        ("with a space behind", Some("\"at+jwt \"")),
    ] {
        cases.push(invalid(format!("typ is {name}"), forge.header("typ", text)));
    }
    for (name, text) in [
        ("crit", "[\"exp\"]"),
        ("crit", "[]"),
        ("crit", "\"exp\""),
        ("cty", "\"JWT\""),
        ("b64", "false"),
        ("b64", "true"),
        ("zip", "\"DEF\""),
        ("enc", "\"A256GCM\""),
        ("nonce", "\"a\""),
        ("url", "\"https://attacker.example\""),
        ("iss", "\"https://attacker.example\""),
        ("x", "null"),
    ] {
        cases.push(invalid(format!("the header has {name}: {text}"), forge.header(name, Some(text))));
    }
    let unencoded = and(
        &json!({"typ": "at+jwt", "alg": "EdDSA", "crit": ["b64"], "kid": forge.header["kid"]}),
        "b64",
        "false",
    );
    let message = format!("{}.{}", BASE64.encode(unencoded), forge.claims.to_string().replace(' ', ""));
    cases.push(invalid("claims that are not encoded (RFC 7797)", forge.sign_message(&message)));
    cases.push(invalid("a refresh token", refresh));
    cases.push(invalid("claims of a refresh token", forge.sign(&forge.header, &part(refresh, 1))));
    cases.push(invalid("the header of a refresh token", forge.sign(&part(refresh, 0), &forge.claims)));
    cases.push(invalid("a token in a token", forge.payload(forge.token.as_bytes())));
    cases.push(invalid(
        "a token in a token, as text",
        forge.payload(json!(forge.token).to_string().as_bytes()),
    ));
    let parts: Vec<_> = forge.token.split('.').collect();
    let flat = json!({"protected": parts[0], "payload": parts[1], "signature": parts[2]});
    cases.push(invalid("the flattened JSON serialisation", flat.to_string()));
    let general =
        json!({"payload": parts[1], "signatures": [{"protected": parts[0], "signature": parts[2]}]});
    cases.push(invalid("the general JSON serialisation", general.to_string()));
    let jwe = BASE64.encode(r#"{"alg":"dir","enc":"A256GCM","typ":"at+jwt"}"#);
    cases.push(invalid(
        "JWE",
        format!("{jwe}..{}.{}.{}", BASE64.encode([0; 12]), parts[1], BASE64.encode([0; 16])),
    ));
    cases
}

pub fn claims(forge: &Forge, other: &Value) -> Vec<Case> {
    let mut cases = Vec::new();
    for name in ["iss", "aud", "exp", "iat", "sub", "sid", "jti", "role", "generation", "kind"] {
        cases.push(invalid(format!("{name} is missing"), forge.claim(name, None)));
        cases.push(invalid(format!("{name} is null"), forge.claim(name, Some("null"))));
        cases.push(invalid(format!("{name} is an object"), forge.claim(name, Some("{}"))));
        let twice = and(&forge.claims, name, &forge.claims[name].to_string());
        cases.push(invalid(format!("{name} comes twice"), forge.payload(twice.as_bytes())));
    }
    let twice = and(&forge.claims, "sub", &other["sub"].to_string());
    cases.push(invalid("a second sub, of another user", forge.payload(twice.as_bytes())));
    for name in ["alg", "kid", "typ"] {
        let twice = and(&forge.header, name, &forge.header[name].to_string());
        let token = forge.sign_bytes(twice.as_bytes(), forge.claims.to_string().as_bytes());
        cases.push(invalid(format!("{name} comes twice"), token));
    }
    for name in ["iss", "aud"] {
        let own = forge.claims[name].as_str().unwrap();
        for (how, value) in [
            ("another", json!("https://attacker.example")),
            ("an array", json!([own])),
            ("an array of two", json!([own, "https://attacker.example"])),
            ("an empty array", json!([])),
            ("in capitals", json!(own.to_uppercase())),
            ("longer", json!(format!("{own}.attacker.example"))),
            ("shorter", json!(own.split_at(own.len() - 1).0)),
            ("with a slash", json!(format!("{own}/"))),
            ("with a space", json!(format!(" {own}"))),
            ("empty", json!("")),
        ] {
            cases.push(invalid(format!("{name} is {how}"), forge.claim(name, Some(&value.to_string()))));
        }
    }
    for (name, text) in [
        ("sub", "\"1\""),
        ("sub", "1"),
        ("sub", "\"' OR 1=1 --\""),
        ("sid", "\"\""),
        ("role", "\"root\""),
        ("role", "\"Admin\""),
        ("role", "[\"admin\"]"),
        ("kind", "\"refresh\""),
        ("kind", "\"Access\""),
        ("generation", "-1e99"),
        ("generation", "4294967296"),
        ("nbf", "9999999999"),
        ("nbf", "\"0\""),
        ("nbf", "null"),
        ("nbf", "1e999"),
        ("nbf", "0"),
    ] {
        cases.push(invalid(format!("{name} is {text}"), forge.claim(name, Some(text))));
    }
    cases
}

pub fn numbers(forge: &Forge) -> Vec<Case> {
    let mut cases = Vec::new();
    for name in ["exp", "iat"] {
        for text in [
            "1e999",
            "-1e999",
            "9999999999.5",
            "1e10",
            "\"9999999999\"",
            "true",
            "[9999999999]",
            "0x7fffffff",
            "NaN",
            "18446744073709551615",
            "99999999999999999999999999",
        ] {
            cases.push(invalid(format!("{name} is {text}"), forge.claim(name, Some(text))));
        }
    }
    for text in ["-1", "-9223372036854775808"] {
        cases.push(invalid(format!("exp is {text}"), forge.claim("exp", Some(text))));
    }
    cases.push(bearer("exp is 0", Answer::Expired, forge.claim("exp", Some("0"))));
    // Numbers as they may be: it is the server who has signed them.
    for (name, text) in
        [("exp", "9007199254740993"), ("exp", "9223372036854775807"), ("iat", "-1"), ("iat", "0")]
    {
        cases.push(bearer(format!("{name} is {text}"), Answer::Accepted, forge.claim(name, Some(text))));
    }
    cases
}
