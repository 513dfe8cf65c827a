//! What becomes of a picture.

use image::{Rgb, RgbImage, Rgba};

use super::samples::{
    AVATAR, BLUE, CANARY, GREEN, RED, WHITE, assert_alike, form, gif, jpeg, path, png, quarters,
    transparent_png, upload, webp,
};
use crate::support::{App, Client};

/// Reads the picture of a user in a size and checks that it is a WebP of this size.
async fn read(client: &Client, size: u32) -> image::RgbaImage {
    let response = client.get(&path(client, size)).await.assert(200);
    assert_eq!(response.header("content-type"), "image/webp");
    for metadata in [&b"EXIF"[..], b"XMP ", b"ICCP", CANARY.as_bytes()] {
        assert!(!response.body.windows(metadata.len()).any(|part| part == metadata), "metadata is left");
    }
    let picture = image::load_from_memory_with_format(&response.body, image::ImageFormat::WebP).unwrap();
    assert_eq!((picture.width(), picture.height()), (size, size));
    picture.into_rgba8()
}

/// The colours of the corners: above from the left, then below.
async fn assert_corners(client: &Client, expected: [Rgb<u8>; 4]) {
    for size in [64, 128, 256, 512] {
        let picture = read(client, size).await;
        let (near, far) = (size / 8, size - size / 8);
        for ((x, y), colour) in [(near, near), (far, near), (near, far), (far, far)].into_iter().zip(expected)
        {
            assert_alike(*picture.get_pixel(x, y), colour);
        }
    }
}

#[tokio::test]
async fn each_format_becomes_an_upright_square_without_metadata() {
    let app = App::start();
    let user = app.user().await;
    let picture = quarters(120, 120);
    for (content_type, file) in [
        ("image/jpeg", jpeg(&picture, 1)),
        ("image/png", png(&picture, 1)),
        ("image/webp", webp(&picture, 1)),
        ("image/gif", gif(std::slice::from_ref(&picture))),
    ] {
        assert!(content_type == "image/gif" || file.windows(6).any(|part| part == b"canary"));
        upload(&user, content_type, file).await.assert(200);
        assert_corners(&user, [RED, GREEN, BLUE, WHITE]).await;
    }
    // A camera that was turned to the right; and one that was upside down.
    for (content_type, file) in [
        ("image/jpeg", jpeg(&picture, 6)),
        ("image/png", png(&picture, 6)),
        ("image/webp", webp(&picture, 6)),
    ] {
        upload(&user, content_type, file).await.assert(200);
        assert_corners(&user, [BLUE, RED, WHITE, GREEN]).await;
    }
    upload(&user, "image/jpeg", jpeg(&picture, 3)).await.assert(200);
    assert_corners(&user, [WHITE, BLUE, GREEN, RED]).await;
}

#[tokio::test]
async fn the_format_is_that_of_the_content_and_not_of_the_header() {
    let app = App::start();
    let user = app.user().await;
    upload(&user, "image/png", jpeg(&quarters(90, 90), 1)).await.assert(200);
    assert_corners(&user, [RED, GREEN, BLUE, WHITE]).await;
}

#[tokio::test]
async fn the_first_frame_and_the_middle_are_kept() {
    let app = App::start();
    let user = app.user().await;
    let frame = |colour| RgbImage::from_pixel(40, 40, colour);
    upload(&user, "image/gif", gif(&[frame(GREEN), frame(RED)])).await.assert(200);
    assert_corners(&user, [GREEN; 4]).await;
    // A square of blue between two red ones.
    let wide = RgbImage::from_fn(300, 100, |x, _| if (100..200).contains(&x) { BLUE } else { RED });
    upload(&user, "image/png", png(&wide, 1)).await.assert(200);
    assert_corners(&user, [BLUE; 4]).await;
    // As large as allowed, and as small as possible.
    upload(&user, "image/png", png(&quarters(2048, 2048), 1)).await.assert(200);
    assert_corners(&user, [RED, GREEN, BLUE, WHITE]).await;
    upload(&user, "image/png", png(&frame(WHITE), 1)).await.assert(200);
    upload(&user, "image/png", png(&RgbImage::from_pixel(1, 1, RED), 1)).await.assert(200);
    assert_corners(&user, [RED; 4]).await;
    upload(&user, "image/png", png(&RgbImage::from_pixel(2048, 1, GREEN), 1)).await.assert(200);
    assert_corners(&user, [GREEN; 4]).await;
}

#[tokio::test]
async fn transparency_is_kept() {
    let app = App::start();
    let user = app.user().await;
    upload(&user, "image/png", transparent_png(100)).await.assert(200);
    assert!(read(&user, 128).await.pixels().all(|Rgba([_, _, _, alpha])| *alpha == 0));
}

#[tokio::test]
async fn a_form_with_one_file_is_accepted() {
    let app = App::start();
    let user = app.user().await;
    let file = jpeg(&quarters(90, 90), 1);
    let headers = "Content-Disposition: form-data; name=\"file\"; filename=\"../../etc/passwd.svg\"\r\n\
                   Content-Type: image/svg+xml";
    let (content_type, body) = form(&[(headers, &file)]);
    let account = upload(&user, content_type, body).await.assert(200);
    let (version, account) = (account.header("etag").to_owned(), account.json());
    assert_eq!(user.get("/api/v1/user").await.assert(200).header("etag"), version);
    assert!(account["avatar_url"].as_str().unwrap().starts_with(&path(&user, 256)));
    assert_corners(&user, [RED, GREEN, BLUE, WHITE]).await;
}

#[tokio::test]
async fn what_is_hidden_behind_a_picture_is_gone() {
    let app = App::start();
    let user = app.user().await;
    for hidden in
        ["<script>alert('canary')</script>", "%PDF-1.7 canary", "PK\x03\x04 canary", "<svg>canary</svg>"]
    {
        for (content_type, mut file) in [
            ("image/gif", gif(&[quarters(50, 50)])),
            ("image/png", png(&quarters(50, 50), 1)),
            ("image/jpeg", jpeg(&quarters(50, 50), 1)),
        ] {
            file.extend(hidden.as_bytes());
            upload(&user, content_type, file).await.assert(200);
            let served = user.get(&path(&user, 512)).await.assert(200);
            assert!(!served.text().contains("canary") && !served.text().contains("<script"));
        }
    }
    assert_eq!(user.get(AVATAR).await.status, 405);
}
