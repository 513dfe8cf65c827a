//! Reads the body of an upload: a picture itself, or a form with one file.

use std::{convert::Infallible, time::Duration};

use actix_web::{HttpMessage, HttpRequest, http::header, web};
use futures_util::{future::ready, stream};
use multer::Multipart;
use serde::Deserialize;
use utoipa::ToSchema;

use crate::http::{BodyLimits, Problem, kind};

const MAX_FILE: usize = 2 * 1024 * 1024;
/// The lines around the file in a form.
const MAX_FORM: usize = MAX_FILE + 4 * 1024;
/// A client needs 70 KiB a second for the largest picture.
const MAX_TIME: Duration = Duration::from_secs(30);
const FIELD: &str = "file";

/// A picture as the whole body.
#[derive(ToSchema)]
#[schema(value_type = String, format = Binary, max_length = 2_097_152)]
#[expect(dead_code, reason = "only documented")]
pub(super) struct RawPicture(Vec<u8>);

/// A form with one file.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "only documented")]
pub(super) struct Form {
    /// The picture. Its file name and content type are ignored.
    #[schema(value_type = String, format = Binary, max_length = 2_097_152)]
    file: Vec<u8>,
}

/// Reads the file of a request.
///
/// # Errors
/// `unsupported-media-type`, `payload-too-large`, `request-timeout`, `malformed-body`, or `validation-failed` for a form
/// without exactly one file.
pub(super) async fn read(req: &HttpRequest, body: web::Payload) -> Result<Vec<u8>, Problem> {
    let unsupported = || {
        Problem::new(&kind::UNSUPPORTED_MEDIA_TYPE)
            .detail("send image/png, image/jpeg, image/webp, image/gif or multipart/form-data")
    };
    let mime = req.mime_type().ok().flatten().ok_or_else(unsupported)?;
    if req.headers().contains_key(header::CONTENT_ENCODING) {
        return Err(unsupported());
    }
    let is_form = mime.essence_str() == "multipart/form-data";
    if !is_form && !["image/png", "image/jpeg", "image/webp", "image/gif"].contains(&mime.essence_str()) {
        return Err(unsupported());
    }
    let max = if is_form { MAX_FORM } else { MAX_FILE };
    let limits = BodyLimits { size: max, time: MAX_TIME, cut_off: &kind::MALFORMED_BODY };
    let bytes = limits.read(req, body.into_inner()).await?;
    let file = if is_form { file_of(mime.as_ref(), bytes).await? } else { bytes };
    if file.len() > MAX_FILE {
        return Err(limits.too_large());
    }
    Ok(file.into())
}

/// Returns the only part of a form, which must be the file.
async fn file_of(content_type: &str, body: web::Bytes) -> Result<web::Bytes, Problem> {
    let malformed =
        |error: multer::Error| Problem::new(&kind::MALFORMED_BODY).detail(format!("not a form: {error}"));
    let boundary = multer::parse_boundary(content_type).map_err(malformed)?;
    let whole = stream::once(ready(Ok::<_, Infallible>(body)));
    let mut form = Multipart::new(whole, boundary);
    let required = || Problem::invalid("/file", "required", "the form must have a part named `file`");
    let part = form.next_field().await.map_err(malformed)?.ok_or_else(required)?;
    if part.name() != Some(FIELD) {
        return Err(required());
    }
    let file = part.bytes().await.map_err(malformed)?;
    if form.next_field().await.map_err(malformed)?.is_some() {
        return Err(Problem::invalid("/file", "too-many", "the form must have no other part than `file`"));
    }
    Ok(file)
}
