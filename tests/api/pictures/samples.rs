//! Pictures for the tests, made when they are needed, and calls that upload them.

use std::io::Cursor;

use image::{
    DynamicImage, Frame, ImageEncoder, Rgb, RgbImage, Rgba, RgbaImage,
    codecs::{gif::GifEncoder, jpeg::JpegEncoder, png::PngEncoder, webp::WebPEncoder},
};
use reqwest::Method;

use crate::support::{Client, Response};

pub const AVATAR: &str = "/api/v1/user/avatar";
pub const RED: Rgb<u8> = Rgb([230, 20, 20]);
pub const GREEN: Rgb<u8> = Rgb([20, 200, 20]);
pub const BLUE: Rgb<u8> = Rgb([20, 20, 230]);
pub const WHITE: Rgb<u8> = Rgb([250, 250, 250]);
/// Stands in the metadata of the samples, as the place of a photograph would.
pub const CANARY: &str = "51.5074N-0.1278W-canary";

/// Red and green above, blue and white below.
pub fn quarters(width: u32, height: u32) -> RgbImage {
    RgbImage::from_fn(width, height, |x, y| match (x < width / 2, y < height / 2) {
        (true, true) => RED,
        (false, true) => GREEN,
        (true, false) => BLUE,
        (false, false) => WHITE,
    })
}

/// EXIF data (TIFF) with an orientation, a description and a GPS directory.
fn exif(orientation: u16) -> Vec<u8> {
    let text = [CANARY.as_bytes(), b"\0"].concat();
    let mut exif = b"II*\0\x08\0\0\0\x03\0".to_vec();
    let mut entry = |tag: u16, kind: u16, count: u32, value: u32| {
        exif.extend(tag.to_le_bytes());
        exif.extend(kind.to_le_bytes());
        exif.extend(count.to_le_bytes());
        exif.extend(value.to_le_bytes());
    };
    let end = 8 + 2 + 3 * 12 + 4;
    let length = u32::try_from(text.len()).unwrap();
    entry(0x010e, 2, length, end);
    entry(0x0112, 3, 1, orientation.into());
    entry(0x8825, 4, 1, end + length);
    exif.extend([0; 4]);
    exif.extend(text);
    // One entry: the latitude is north.
    exif.extend(b"\x01\0\x01\0\x02\0\x02\0\0\0N\0\0\0\0\0\0\0");
    exif
}

pub fn jpeg(picture: &RgbImage, orientation: u16) -> Vec<u8> {
    let mut file = Vec::new();
    let mut encoder = JpegEncoder::new_with_quality(&mut file, 95);
    encoder.set_exif_metadata(exif(orientation)).unwrap();
    encoder.encode_image(picture).unwrap();
    file
}

pub fn png(picture: &RgbImage, orientation: u16) -> Vec<u8> {
    let mut file = Vec::new();
    let mut encoder = PngEncoder::new(&mut file);
    encoder.set_exif_metadata(exif(orientation)).unwrap();
    picture.write_with_encoder(encoder).unwrap();
    file
}

pub fn webp(picture: &RgbImage, orientation: u16) -> Vec<u8> {
    let mut file = Vec::new();
    let mut encoder = WebPEncoder::new_lossless(&mut file);
    encoder.set_exif_metadata(exif(orientation)).unwrap();
    picture.write_with_encoder(encoder).unwrap();
    file
}

/// With one frame per picture.
pub fn gif(frames: &[RgbImage]) -> Vec<u8> {
    let mut file = Vec::new();
    let mut encoder = GifEncoder::new(&mut file);
    for frame in frames {
        encoder.encode_frame(Frame::new(DynamicImage::from(frame.clone()).into_rgba8())).unwrap();
    }
    drop(encoder);
    file
}

pub fn transparent_png(side: u32) -> Vec<u8> {
    let picture = RgbaImage::from_pixel(side, side, Rgba([200, 0, 0, 0]));
    let mut file = Cursor::new(Vec::new());
    picture.write_to(&mut file, image::ImageFormat::Png).unwrap();
    file.into_inner()
}

pub async fn upload(client: &Client, content_type: &str, file: Vec<u8>) -> Response {
    client.send(Method::PUT, AVATAR, |request| request.header("content-type", content_type).body(file)).await
}

/// Uploads a picture of one colour and returns its address.
pub async fn upload_one(client: &Client, colour: Rgb<u8>) -> String {
    let file = png(&RgbImage::from_pixel(80, 80, colour), 1);
    let user = upload(client, "image/png", file).await.assert(200).json();
    user["avatar_url"].as_str().expect("an address").to_owned()
}

pub fn path(user: &Client, size: u32) -> String {
    format!("/api/v1/users/{}/avatar?size={size}", user.id)
}

/// A body of `multipart/form-data` with these parts, each of headers and content.
pub fn form(parts: &[(&str, &[u8])]) -> (&'static str, Vec<u8>) {
    let mut body = Vec::new();
    for (headers, content) in parts {
        body.extend(format!("--b0undary\r\n{headers}\r\n\r\n").bytes());
        body.extend_from_slice(content);
        body.extend(b"\r\n");
    }
    body.extend(b"--b0undary--\r\n");
    ("multipart/form-data; boundary=b0undary", body)
}

/// Whether two colours look the same, since WebP is lossy.
#[track_caller]
pub fn assert_alike(found: Rgba<u8>, expected: Rgb<u8>) {
    let far = found.0.iter().zip(expected.0).any(|(one, other)| one.abs_diff(other) > 40);
    assert!(!far, "{found:?} is not like {expected:?}");
}
