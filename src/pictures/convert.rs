//! Converts a file that a stranger has sent to square WebP pictures; pure functions.
//!
//! The format is recognised by its content. Size and memory are bounded before pixels are decoded, so a file that
//! claims to be large costs nothing.

use std::{fmt, io::Cursor};

use image::{
    DynamicImage, ImageDecoder, ImageFormat, ImageReader, Limits,
    imageops::{self, FilterType},
};
use memchr::memmem;

/// Sides of the stored pictures, from the largest.
pub(super) const SIZES: [u32; 4] = [512, 256, 128, 64];
pub(super) const MAX_SIDE: u32 = 2048;
/// Of the decoded picture, and again of what its decoder needs besides. 2048 × 2048 pixels with 4 bytes fit.
const MAX_DECODED: u64 = 16 * 1024 * 1024;
/// Progressive JPEGs have about 10. A decoder goes through all pixels for each, even if a scan has a few bytes.
const MAX_SCANS: usize = 64;
const START_OF_SCAN: [u8; 2] = [0xff, 0xda];
/// Of libwebp, 0 to 100.
const QUALITY: f32 = 80.0;

/// Why a file is refused.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Unusable {
    /// Neither PNG, JPEG, WebP nor GIF.
    Format,
    TooManyPixels,
    /// It ends early or contradicts its format.
    Broken,
}

impl fmt::Display for Unusable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Format => f.write_str("the content is not a PNG, JPEG, WebP or GIF picture"),
            Self::TooManyPixels => {
                write!(
                    f,
                    "the picture must have at most {MAX_SIDE} × {MAX_SIDE} pixels with 8 bits per colour"
                )
            }
            Self::Broken => f.write_str("the picture is damaged or incomplete"),
        }
    }
}

/// A WebP file with its side in pixels.
pub(super) struct Square {
    pub size: u32,
    pub content: Vec<u8>,
}

/// Converts a file to one square per size: cut from the middle, turned upright, without metadata.
pub(super) fn convert(file: &[u8]) -> Result<Vec<Square>, Unusable> {
    let picture = middle(decode(file)?);
    let mut squares = Vec::new();
    let mut last = shrink(picture);
    for size in SIZES {
        last = last.resize_exact(size, size, FilterType::CatmullRom);
        squares.push(Square { size, content: encode(&last)? });
    }
    Ok(squares)
}

fn decode(file: &[u8]) -> Result<DynamicImage, Unusable> {
    let format = image::guess_format(file).map_err(|_| Unusable::Format)?;
    match format {
        ImageFormat::Png | ImageFormat::WebP | ImageFormat::Gif => {}
        ImageFormat::Jpeg => {
            if memmem::find_iter(file, &START_OF_SCAN).nth(MAX_SCANS).is_some() {
                return Err(Unusable::Broken);
            }
        }
        _ => return Err(Unusable::Format),
    }
    let mut reader = ImageReader::with_format(Cursor::new(file), format);
    let mut limits = Limits::no_limits();
    limits.max_image_width = Some(MAX_SIDE);
    limits.max_image_height = Some(MAX_SIDE);
    limits.max_alloc = Some(MAX_DECODED);
    reader.limits(limits);
    let mut decoder = reader.into_decoder().map_err(|error| unusable(&error))?;
    if decoder.total_bytes() > MAX_DECODED {
        return Err(Unusable::TooManyPixels);
    }
    // A picture whose orientation cannot be read is taken as it is.
    let orientation = decoder.orientation().ok();
    let mut picture = DynamicImage::from_decoder(decoder).map_err(|error| unusable(&error))?;
    if let Some(orientation) = orientation {
        picture.apply_orientation(orientation);
    }
    Ok(picture)
}

fn unusable(error: &image::ImageError) -> Unusable {
    match error {
        image::ImageError::Limits(_) => Unusable::TooManyPixels,
        _ => Unusable::Broken,
    }
}

/// Cuts the largest square from the middle.
fn middle(picture: DynamicImage) -> DynamicImage {
    let (width, height) = (picture.width(), picture.height());
    let side = width.min(height);
    if width == height {
        return picture;
    }
    picture.crop_imm((width - side) / 2, (height - side) / 2, side, side)
}

/// Reduces a large picture by a quick filter, since the good one takes long; and to 8 bits per colour, with
/// transparency only where there was some.
fn shrink(picture: DynamicImage) -> DynamicImage {
    let enough = 2 * SIZES[0];
    if picture.color().has_alpha() {
        let pixels = picture.into_rgba8();
        let is_large = pixels.width() > enough;
        DynamicImage::from(if is_large { imageops::thumbnail(&pixels, enough, enough) } else { pixels })
    } else {
        let pixels = picture.into_rgb8();
        let is_large = pixels.width() > enough;
        DynamicImage::from(if is_large { imageops::thumbnail(&pixels, enough, enough) } else { pixels })
    }
}

fn encode(square: &DynamicImage) -> Result<Vec<u8>, Unusable> {
    let (side, pixels) = (square.width(), square.as_bytes());
    let encoder = if square.color().has_alpha() {
        webp::Encoder::from_rgba(pixels, side, side)
    } else {
        webp::Encoder::from_rgb(pixels, side, side)
    };
    let file = encoder.encode_simple(false, QUALITY).map_err(|_| Unusable::Broken)?;
    Ok(file.to_vec())
}
