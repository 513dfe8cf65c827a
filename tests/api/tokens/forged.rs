//! Forged tokens, as one table: what is wrong with each, and how it is answered.
//!
//! Unless a case is about the signature, it is signed with the real key of the server, so that it can only be refused for
//! the reason that its name gives.

use std::collections::HashSet;

use aws_lc_rs::{
    hmac,
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair},
};
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD as BASE64};
use percent_encoding::{NON_ALPHANUMERIC, percent_encode};
use reqwest::Method;
use serde_json::{Value, json};
use uuid::Uuid;

use super::{
    forge::{Answer, Case, Forge, bearer, field, invalid, object, part},
    forged_contents::{algorithms, claims, keys, kinds, numbers},
};
use crate::{
    auth::api_keys::with_key,
    support::{App, Client, speak},
};

fn signatures(forge: &Forge, other: &str) -> Vec<Case> {
    let (message, signature) = (forge.message(), forge.signature());
    let mut bytes = BASE64.decode(signature).unwrap();
    let signed = |signature: &[u8]| format!("{message}.{}", BASE64.encode(signature));
    let mut cases = vec![
        invalid("no signature", format!("{message}.")),
        invalid("no third part", message),
        invalid("a signature of zeros", signed(&[0; 64])),
        invalid("a signature that is cut by a byte", signed(&bytes[..63])),
        invalid("half of a signature", signed(&bytes[..32])),
        invalid("a signature with a byte more", signed(&[&bytes[..], &[0]].concat())),
        invalid("a signature twice", signed(&[&bytes[..], &bytes[..]].concat())),
        invalid("the halves of the signature exchanged", signed(&[&bytes[32..], &bytes[..32]].concat())),
        invalid("the signature of another token", format!("{message}.{}", other.rsplit_once('.').unwrap().1)),
    ];
    let stolen = object(&forge.claims, "sub", Some(&part(other, 1)["sub"].to_string()));
    let admin = object(&forge.claims, "role", Some("\"admin\""));
    for (name, claims) in [("another user's sub", stolen), ("the role admin", admin)] {
        let message = format!("{}.{}", message.split('.').next().unwrap(), BASE64.encode(claims));
        cases.push(invalid(format!("{name} under the own signature"), format!("{message}.{signature}")));
        cases.push(invalid(format!("{name} without a signature"), format!("{message}.")));
    }
    // The same point for s + L, where L is the order of the group (RFC 8032 section 5.1.7).
    let mut order = [0_u8; 32];
    order[..16].copy_from_slice(&[
        0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde, 0x14,
    ]);
    order[31] = 0x10;
    let mut carry = 0;
    for (byte, add) in bytes[32..].iter_mut().zip(order) {
        carry += u16::from(*byte) + u16::from(add);
        *byte = carry.to_le_bytes()[0];
        carry >>= 8;
    }
    cases.push(invalid("a signature with s + L", signed(&bytes)));
    cases
}

/// A signed token with a `-` or `_`, which the standard alphabet does not have.
fn with_url_safe_characters(forge: &Forge) -> String {
    loop {
        let token = forge.claim("jti", Some(&json!(Uuid::new_v4()).to_string()));
        if token.contains(['-', '_']) {
            return token;
        }
    }
}

/// The character behind the last one of base64, whose unused bits then are not zero.
fn with_unused_bits(part: &str) -> String {
    let (begin, last) = part.split_at(part.len() - 1);
    format!("{begin}{}", char::from(last.as_bytes()[0] + 1))
}

fn encodings(forge: &Forge) -> Vec<Case> {
    let (token, signature) = (forge.token.as_str(), forge.signature());
    let parts: Vec<_> = token.split('.').collect();
    let (head, body) = (parts[0], parts[1]);
    // Spaces until the last character of its base64 has unused bits.
    let mut claims = forge.claims.to_string();
    while claims.len() % 3 != 1 {
        claims.push(' ');
    }
    let claims = with_unused_bits(&BASE64.encode(claims));
    let wide: Vec<u8> = token.encode_utf16().flat_map(u16::to_le_bytes).collect();
    vec![
        bearer("the true token, signed again", Answer::Accepted, forge.sign(&forge.header, &forge.claims)),
        invalid("a signature with padding", format!("{token}==")),
        invalid("a header with padding", forge.sign_message(&format!("{head}=.{body}"))),
        invalid("claims with padding", forge.sign_message(&format!("{head}.{body}="))),
        invalid("the standard alphabet", with_url_safe_characters(forge).replace('-', "+").replace('_', "/")),
        invalid(
            "unused bits in the signature",
            format!("{}.{}", forge.message(), with_unused_bits(signature)),
        ),
        invalid("unused bits in the claims", forge.sign_message(&format!("{head}.{claims}"))),
        invalid("a space in the signature", format!("{} {}", forge.message(), signature)),
        invalid("a space in the claims", forge.sign_message(&format!("{head}. {body}"))),
        invalid("a tab between the parts", token.replace('.', ".\t")),
        invalid("a dot before it", format!(".{token}")),
        invalid("a dot behind it", format!("{token}.")),
        invalid("two dots", format!("{head}..{signature}")),
        invalid("no header", format!(".{body}.{signature}")),
        invalid("only dots", ".."),
        invalid("one dot", "."),
        invalid("four dots", "...."),
        invalid("two parts", format!("{head}.{signature}")),
        invalid("four parts", format!("{token}.{signature}")),
        invalid("the token twice", format!("{token}.{token}")),
        invalid("no base64", "a.b.c"),
        invalid("a word", "x"),
        invalid("dots that are escaped", token.replace('.', "%2E")),
        invalid("dots of full width", token.replace('.', "\u{ff0e}")),
        invalid("a byte order mark before it", format!("\u{feff}{token}")),
        invalid("a byte that is not UTF-8", [token.as_bytes(), b"\xff"].concat()),
        bearer("UTF-16", Answer::NotHttp, wide),
        bearer("a NUL in it", Answer::NotHttp, token.replacen('.', "\0.", 1)),
        bearer("a NUL behind it", Answer::NotHttp, format!("{token}\0")),
        invalid(
            "claims of great depth",
            forge.claim("x", Some(&format!("{}{}", "[".repeat(300), "]".repeat(300)))),
        ),
        invalid("3 kB, signed", forge.claim("x", Some(&format!("\"{}\"", "x".repeat(2500))))),
        invalid("7 kB", "x".repeat(7000)),
        invalid("100 kB", "x".repeat(100_000)),
        invalid("100 kB, signed", forge.claim("x", Some(&format!("\"{}\"", "x".repeat(75_000))))),
        bearer("1 MB", Answer::NotHttp, "x".repeat(1_000_000)),
    ]
}

/// Texts that are not the JSON of an object, under a true signature.
fn texts(forge: &Forge) -> Vec<Case> {
    let utf_16 =
        |text: &Value| text.to_string().encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<u8>>();
    let (header_text, claims_text) = (forge.header.to_string(), forge.claims.to_string());
    vec![
        invalid("claims in UTF-16", forge.payload(&utf_16(&forge.claims))),
        invalid("a header in UTF-16", forge.sign_bytes(&utf_16(&forge.header), claims_text.as_bytes())),
        invalid(
            "claims with bytes that are not UTF-8",
            forge.payload(&[claims_text.as_bytes(), b"\xff"].concat()),
        ),
        invalid("claims with a byte order mark", forge.payload(format!("\u{feff}{claims_text}").as_bytes())),
        invalid("claims and more", forge.payload(format!("{claims_text}{{}}").as_bytes())),
        invalid("claims that are cut", forge.payload(claims_text.strip_suffix('}').unwrap().as_bytes())),
        invalid("no claims", forge.payload(b"")),
        invalid("claims that are null", forge.payload(b"null")),
        invalid("claims that are an array", forge.payload(format!("[{claims_text}]").as_bytes())),
        invalid(
            "a header that is an array",
            forge.sign_bytes(format!("[{header_text}]").as_bytes(), claims_text.as_bytes()),
        ),
    ]
}

/// Ways to send the true token.
fn headers(forge: &Forge) -> Vec<Case> {
    let token = &forge.token;
    let is = |name: &str, answer, line: String| field(name, answer, line);
    vec![
        is("the true token", Answer::Accepted, format!("Authorization: Bearer {token}")),
        is("the scheme in lower case", Answer::Accepted, format!("authorization: bearer {token}")),
        is("the scheme in capitals", Answer::Accepted, format!("AUTHORIZATION: BEARER {token}")),
        is("spaces around the token", Answer::Accepted, format!("Authorization:   Bearer   {token}  ")),
        is(
            "two fields",
            Answer::Invalid,
            format!("Authorization: Bearer {token}\r\nAuthorization: Bearer {token}"),
        ),
        is(
            "two fields, one of Basic",
            Answer::Invalid,
            format!("Authorization: Basic YTpi\r\nAuthorization: Bearer {token}"),
        ),
        is("a key as well", Answer::Invalid, format!("X-Api-Key: a\r\nAuthorization: Bearer {token}")),
        is(
            "two tokens in a field",
            Answer::Invalid,
            format!("Authorization: Bearer {token}, Bearer {token}"),
        ),
        is("the scheme twice", Answer::Invalid, format!("Authorization: Bearer Bearer {token}")),
        is("something behind the token", Answer::Invalid, format!("Authorization: Bearer {token} x")),
        is("quotes", Answer::Invalid, format!("Authorization: Bearer \"{token}\"")),
        is("a parameter", Answer::Invalid, format!("Authorization: Bearer token=\"{token}\"")),
        is("no token", Answer::Missing, "Authorization: Bearer".into()),
        is("no scheme", Answer::Missing, format!("Authorization: {token}")),
        is("the scheme Basic", Answer::Missing, format!("Authorization: Basic {token}")),
        is("the scheme Token", Answer::Missing, format!("Authorization: Token {token}")),
        is("the scheme and a letter", Answer::Missing, format!("Authorization: Bearerx {token}")),
        is("a tab behind the scheme", Answer::Missing, format!("Authorization: Bearer\t{token}")),
        is("an empty field", Answer::Missing, "Authorization:".into()),
        is("no field", Answer::Missing, "X-Other: a".into()),
        is(
            "a cookie",
            Answer::Missing,
            format!("Cookie: access_token={token}; Authorization=Bearer {token}"),
        ),
        is("the field of a proxy", Answer::Missing, format!("Proxy-Authorization: Bearer {token}")),
        is("a field on two lines", Answer::NotHttp, format!("Authorization: Bearer\r\n {token}")),
        is("a space before the colon", Answer::NotHttp, format!("Authorization : Bearer {token}")),
    ]
}

/// Of a server that signs with ECDSA.
fn elliptic(forge: &Forge) -> Vec<Case> {
    let header = forge.header.to_string();
    let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &forge.pkcs8).unwrap();
    let other = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
    let random = SystemRandom::new();
    let text = |alg: &str| object(&forge.header, "alg", Some(&json!(alg).to_string()));
    let public = pair.public_key().as_ref();
    let signed = BASE64.decode(forge.signature()).unwrap();
    let message = forge.message();
    // Of the group of P-256 (FIPS 186-5).
    let order = 0xffff_ffff_0000_0000_ffff_ffff_ffff_ffff_u128.to_be_bytes();
    let order = [order, 0xbce6_faad_a717_9e84_f3b9_cac2_fc63_2551_u128.to_be_bytes()].concat();
    let with = |bytes: &[u8]| format!("{message}.{}", BASE64.encode(bytes));
    vec![
        bearer(
            "ES256: the true token, signed again",
            Answer::Accepted,
            forge.sign(&forge.header, &forge.claims),
        ),
        invalid(
            "ES256: a key of the attacker",
            forge.with(&header, |m| other.sign(&random, m).unwrap().as_ref().to_vec()),
        ),
        invalid("ES256: DER", forge.with(&header, |m| pair.sign(&random, m).unwrap().as_ref().to_vec())),
        invalid("ES256: r and s are 0", with(&[0; 64])),
        invalid("ES256: r and s are the order", with(&[&order[..], &order[..]].concat())),
        invalid("ES256: s is 0", with(&[&signed[..32], &[0; 32]].concat())),
        invalid("ES256: r and s exchanged", with(&[&signed[32..], &signed[..32]].concat())),
        invalid("ES256: zeros before r and s", with(&[&[0], &signed[..32], &[0], &signed[32..]].concat())),
        invalid("ES256: alg EdDSA", forge.header("alg", Some("\"EdDSA\""))),
        invalid("ES256: alg ES384", forge.header("alg", Some("\"ES384\""))),
        invalid("ES256: HS256 under the public point", {
            let key = hmac::Key::new(hmac::HMAC_SHA256, public);
            forge.with(&text("HS256"), |m| hmac::sign(&key, m).as_ref().to_vec())
        }),
        invalid("ES256: alg none", forge.with(&text("none"), |_| Vec::new())),
    ]
}

/// Why the answer to a case is not the expected one.
async fn fault(app: &App, path: &str, case: &Case) -> Option<String> {
    let head = format!("GET {path} HTTP/1.1\r\nHost: mintage.test\r\nConnection: close\r\n");
    let answer = speak(&app.base, &[head.as_bytes(), &case.fields, b"\r\n"].concat()).await;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    let status = head.split(' ').nth(1).unwrap_or_default();
    let has = |line: &str| head.to_lowercase().lines().any(|other| other == line);
    let is_problem = |code: &str| {
        has("content-type: application/problem+json")
            && serde_json::from_str::<Value>(body).is_ok_and(|body| body["code"] == code)
    };
    let refused = |code: &str, challenge: &str| {
        status == "401" && is_problem(code) && has(&format!("www-authenticate: {challenge}"))
    };
    let with_error = r#"bearer realm="mintage", error="invalid_token""#;
    let is_right = match case.answer {
        Answer::Accepted => status == "200",
        Answer::Invalid => refused("invalid-token", with_error),
        Answer::Expired => refused("token-expired", with_error),
        Answer::Missing => refused("missing-token", r#"bearer realm="mintage""#),
        Answer::NotHttp => matches!(status, "400" | "431") && !body.contains("\"id\""),
    };
    (!is_right).then(|| format!("{} ({path}): not {:?} but {head}\n{body}\n", case.name, case.answer))
}

/// What a gateway is told of the token of a case that is not what is expected.
async fn told(gateway: &Client, case: &Case) -> Option<String> {
    let token = case.token.as_ref().filter(|token| token.is_ascii() && token.len() < 10_000)?;
    let is_active = match case.answer {
        Answer::Accepted => true,
        Answer::Invalid | Answer::Expired => false,
        Answer::Missing | Answer::NotHttp => return None,
    };
    let body = format!("token={}", percent_encode(token, NON_ALPHANUMERIC));
    let told = gateway.send(Method::POST, "/oauth/introspect", |request| {
        request.header("content-type", "application/x-www-form-urlencoded").body(body)
    });
    let told = told.await;
    let is_right = told.status == 200 && told.json()["active"] == is_active;
    (!is_right).then(|| format!("{} (introspected): {} {}", case.name, told.status, told.text()))
}

#[tokio::test]
async fn every_forged_token_is_refused_for_the_reason_of_its_name() {
    let app = App::start();
    let (user, other) = (app.user().await, app.user().await);
    let forge = Forge::of(&app, user.token());
    let jwks = app.anyone().get("/.well-known/jwks.json").await.assert(200).json();
    let mut kids = jwks["keys"].as_array().unwrap().iter().map(|key| key["kid"].as_str().unwrap());
    let next = kids.find(|kid| forge.header["kid"] != *kid).unwrap();
    let ecdsa = App::with(&[("JWT_ALGORITHM", "ES256")]);
    let ecdsa_user = ecdsa.user().await;
    let tables = [
        (&app, headers(&forge)),
        (&app, algorithms(&forge)),
        (&app, keys(&forge, next)),
        (&app, kinds(&forge, user.refresh_token.as_deref().unwrap())),
        (&app, claims(&forge, &part(other.token(), 1))),
        (&app, numbers(&forge)),
        (&app, signatures(&forge, other.token())),
        (&app, encodings(&forge)),
        (&app, texts(&forge)),
        (&ecdsa, elliptic(&Forge::of(&ecdsa, ecdsa_user.token()))),
    ];
    let names: HashSet<_> = tables.iter().flat_map(|(_, cases)| cases).map(|case| &case.name).collect();
    assert_eq!(
        names.len(),
        tables.iter().map(|(_, cases)| cases.len()).sum::<usize>(),
        "a name is used twice"
    );
    assert!(names.len() > 250, "{}", names.len());
    let mut faults = Vec::new();
    for (app, cases) in &tables {
        let gateway = with_key(&app.admin().await, &["tokens:introspect"]).await;
        for case in cases {
            faults.extend(told(&gateway, case).await);
            // An endpoint of people, and one that also accepts API keys.
            for path in ["/api/v1/user", "/api/v1/coins"] {
                faults.extend(fault(app, path, case).await);
            }
        }
    }
    assert!(faults.is_empty(), "{} faults:\n{}", faults.len(), faults.join("\n"));
}

#[tokio::test]
async fn a_token_in_the_address_or_in_a_form_is_no_token() {
    let app = App::start();
    let user = app.user().await;
    let anyone = app.anyone();
    anyone
        .get(&format!("/api/v1/user?access_token={}", user.token()))
        .await
        .assert_problem(401, "missing-token");
    let form = format!("access_token={}", user.token());
    let sent = anyone.send(Method::POST, "/api/v1/auth/logout", |request| {
        request.header("content-type", "application/x-www-form-urlencoded").body(form)
    });
    sent.await.assert_problem(401, "missing-token");
}
