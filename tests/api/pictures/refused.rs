//! Files and bodies that are no pictures, or that would cost too much.

use futures_util::stream;
use reqwest::Method;

use super::{
    bombs::chunk,
    samples::{AVATAR, form, gif, jpeg, png, quarters, upload},
};
use crate::support::{App, Client};

const PART: &str =
    "Content-Disposition: form-data; name=\"file\"; filename=\"a.png\"\r\nContent-Type: image/png";

/// A PNG whose header claims this size, with hardly any content.
fn png_of(width: u32, height: u32, bits: u8) -> Vec<u8> {
    let header = [&width.to_be_bytes()[..], &height.to_be_bytes(), &[bits, 2, 0, 0, 0]].concat();
    let content = [0x78, 0x9c, 0x03, 0, 0, 0, 0, 1];
    [&b"\x89PNG\r\n\x1a\n"[..], &chunk(*b"IHDR", &header), &chunk(*b"IDAT", &content), &chunk(*b"IEND", &[])]
        .concat()
}

/// A GIF with a screen of one size and a frame of another.
fn gif_of(screen: u16, frame: u16) -> Vec<u8> {
    let (screen, frame) = (screen.to_le_bytes(), frame.to_le_bytes());
    let palette = [0, 0, 0, 255, 255, 255];
    let descriptor = [&b",\0\0\0\0"[..], &frame, &frame, b"\0"].concat();
    let content = b"\x02\x02\x4c\x01\0;";
    [&b"GIF89a"[..], &screen, &screen, b"\x80\0\0", &palette, &descriptor, content].concat()
}

fn jpeg_of(side: u16) -> Vec<u8> {
    let mut file = jpeg(&quarters(16, 16), 1);
    let frame = file.windows(2).position(|marker| marker == [0xff, 0xc0]).unwrap();
    file[frame + 5..frame + 7].copy_from_slice(&side.to_be_bytes());
    file[frame + 7..frame + 9].copy_from_slice(&side.to_be_bytes());
    file
}

fn webp_of(side: u32) -> Vec<u8> {
    let side = (side - 1).to_le_bytes();
    let canvas = [&b"\0\0\0\0"[..], &side[..3], &side[..3]].concat();
    let chunks = [&b"WEBPVP8X\x0a\0\0\0"[..], &canvas, b"VP8L\x06\0\0\0\x2f\xff\xff\xff\x0f\0"].concat();
    [&b"RIFF"[..], &u32::try_from(chunks.len()).unwrap().to_le_bytes(), &chunks].concat()
}

async fn assert_refused(user: &Client, file: Vec<u8>, what: &str) {
    let response = upload(user, "image/png", file).await;
    assert_eq!(response.json()["code"], "invalid-image", "{what}: {}", response.text());
    assert!(response.json()["detail"].is_string(), "{what}");
}

#[tokio::test]
async fn bombs_are_refused_by_their_header() {
    let app = App::start();
    let user = app.user().await;
    for (what, file) in [
        ("a wide PNG", png_of(20_000, 20_000, 8)),
        ("a PNG of the largest size", png_of(0x7fff_ffff, 0x7fff_ffff, 16)),
        ("a PNG that is one pixel too wide", png_of(2049, 1, 8)),
        ("a deep PNG", png_of(2048, 2048, 16)),
        ("a lying PNG", png_of(2048, 2048, 8)),
        ("an empty PNG", png_of(0, 0, 8)),
        ("a wide GIF", gif_of(65_535, 65_535)),
        ("a GIF with a wide frame", gif_of(1, 65_535)),
        ("a wide JPEG", jpeg_of(65_500)),
        ("a wide WebP", webp_of(16_384)),
        ("a broken WebP", webp_of(16)),
    ] {
        assert_refused(&user, file, what).await;
    }
    assert_eq!(user.get("/api/v1/user").await.assert(200).json()["avatar_url"], serde_json::Value::Null);
    assert!(!app.storage().join("pictures").exists(), "nothing was stored");
}

#[tokio::test]
async fn a_jpeg_with_very_many_scans_is_refused() {
    let app = App::start();
    let user = app.user().await;
    let mut file = jpeg(&quarters(64, 64), 1);
    let scan = file.windows(2).position(|marker| marker == [0xff, 0xda]).unwrap();
    let scans = file[scan..file.len() - 2].repeat(200);
    file.splice(scan..scan, scans);
    assert_refused(&user, file, "a JPEG with 200 scans").await;
}

#[tokio::test]
async fn damaged_pictures_are_refused() {
    let app = App::start();
    let user = app.user().await;
    for file in [png(&quarters(200, 200), 1), gif(&[quarters(200, 200)])] {
        assert_refused(&user, file[..60].to_vec(), "a truncated picture").await;
        assert_refused(&user, file[..20].to_vec(), "a header").await;
    }
    assert_refused(&user, jpeg(&quarters(200, 200), 1)[..20].to_vec(), "a truncated JPEG").await;
    assert_refused(&user, b"GIF89a/*<svg onload=alert(1)>*/=1;".to_vec(), "a script as GIF").await;
    assert_refused(&user, b"RIFF\xff\xff\xff\xffWEBP".to_vec(), "a WebP without content").await;
}

#[tokio::test]
async fn other_formats_are_refused_whatever_their_type_says() {
    let app = App::start();
    let user = app.user().await;
    let bmp = {
        let mut file = b"BM".to_vec();
        file.resize(200, 0);
        file
    };
    let hidden = [b"%PDF-1.4\n".to_vec(), png(&quarters(20, 20), 1)].concat();
    for file in [
        b"<svg xmlns=\"http://www.w3.org/2000/svg\"><script>alert(1)</script></svg>".to_vec(),
        b"<?xml version=\"1.0\"?><!DOCTYPE svg [<!ENTITY x SYSTEM \"file:///etc/passwd\">]><svg>&x;</svg>"
            .to_vec(),
        b"<!DOCTYPE html><script>alert(1)</script>".to_vec(),
        b"%PDF-1.7".to_vec(),
        hidden,
        bmp,
        b"II*\0\x08\0\0\0".to_vec(),
        b"\0\0\0\x20ftypavif".to_vec(),
        Vec::new(),
        vec![0; 1000],
    ] {
        for content_type in ["image/png", "image/gif", "image/jpeg", "image/webp"] {
            upload(&user, content_type, file.clone()).await.assert_problem(415, "unsupported-media-type");
        }
        let (content_type, body) = form(&[(PART, &file)]);
        upload(&user, content_type, body).await.assert_problem(415, "unsupported-media-type");
    }
    let good = png(&quarters(20, 20), 1);
    for content_type in
        ["image/svg+xml", "text/html", "application/json", "application/octet-stream", "nonsense"]
    {
        upload(&user, content_type, good.clone()).await.assert_problem(415, "unsupported-media-type");
    }
    let coded = |request: reqwest::RequestBuilder| {
        request.header("content-type", "image/png").header("content-encoding", "gzip").body(good.clone())
    };
    user.send(Method::PUT, AVATAR, coded).await.assert_problem(415, "unsupported-media-type");
    user.send(Method::PUT, AVATAR, |request| request.body(good.clone()))
        .await
        .assert_problem(415, "unsupported-media-type");
}

#[tokio::test]
async fn large_bodies_are_refused_with_and_without_a_length() {
    let app = App::start();
    let user = app.user().await;
    let large = [png(&quarters(20, 20), 1), vec![0; 2 * 1024 * 1024]].concat();
    upload(&user, "image/png", large.clone()).await.assert_problem(413, "payload-too-large");
    let (content_type, body) = form(&[(PART, &large)]);
    upload(&user, content_type, body).await.assert_problem(413, "payload-too-large");
    let chunks: Vec<Result<Vec<u8>, std::io::Error>> =
        large.chunks(64 * 1024).map(|chunk| Ok(chunk.to_vec())).collect();
    let chunked = |request: reqwest::RequestBuilder| {
        request.header("content-type", "image/png").body(reqwest::Body::wrap_stream(stream::iter(chunks)))
    };
    user.send(Method::PUT, AVATAR, chunked).await.assert_problem(413, "payload-too-large");
}

#[tokio::test]
async fn forms_have_one_part_that_is_the_file() {
    let app = App::start();
    let user = app.user().await;
    let file = png(&quarters(20, 20), 1);
    let other = "Content-Disposition: form-data; name=\"title\"";
    for (parts, code) in [
        (vec![], "required"),
        (vec![(other, &b"x"[..])], "required"),
        (vec![("Content-Disposition: form-data", &file[..])], "required"),
        (vec![(PART, &file[..]), (PART, &file[..])], "too-many"),
        (vec![(PART, &file[..]), (other, b"x")], "too-many"),
    ] {
        let (content_type, body) = form(&parts);
        upload(&user, content_type, body).await.assert_invalid("/file", code);
    }
    let (_, inner) = form(&[(PART, &file)]);
    let nested =
        "Content-Disposition: form-data; name=\"file\"\r\nContent-Type: multipart/mixed; boundary=inner";
    let (content_type, body) = form(&[(nested, &inner)]);
    let response = upload(&user, content_type, body).await;
    assert!([415, 422].contains(&response.status.as_u16()), "{}", response.text());
    for (content_type, body) in [
        ("multipart/form-data", b"--b\r\n".to_vec()),
        ("multipart/form-data; boundary=b", b"no form".to_vec()),
        (
            "multipart/form-data; boundary=b",
            b"--b\r\nContent-Disposition: form-data; name=\"file\"\r\n\r\nx".to_vec(),
        ),
    ] {
        let response = upload(&user, content_type, body).await;
        response.assert_problem(400, "malformed-body");
    }
}
