//! Answers `PUT /api/v1/user/avatar`: sets the picture of the current user.

use actix_web::{
    HttpRequest, HttpResponse, put,
    web::{Data, Payload},
};
use diesel::PgConnection;
use futures_util::future::try_join_all;

use super::{
    Pictures,
    converter::Picture,
    key, store,
    upload::{self, Form, RawPicture},
};
use crate::{
    audit::{Event, EventKind},
    http::{
        Problem,
        etag::{self, IfMatch},
    },
    tokens::{Client, CurrentUser, Refusal},
    users::User,
};

/// Set your picture
///
/// Replaces your profile picture. Send the picture itself or a form with one file: PNG, JPEG, WebP or GIF (its first
/// frame), at most 2 MiB and 2048 × 2048 pixels. The format is recognised by the content. The largest square in the
/// middle is kept, turned upright as the picture's EXIF data says, scaled to 64, 128, 256 and 512 pixels and encoded
/// anew as WebP, so metadata such as the place of a photograph is removed.
#[utoipa::path(
    tag = "user",
    security(("bearer" = [])),
    params(("If-Match" = Option<String>, Header, description = "`ETag` of the account when it was read.")),
    request_body(description = "The picture.", content(
        (RawPicture = "image/png"), (RawPicture = "image/jpeg"), (RawPicture = "image/webp"),
        (RawPicture = "image/gif"),
        (Form = "multipart/form-data")
    )),
    responses(
        (status = 200, description = "The changed account.", body = User,
            headers(("ETag" = String, description = "The new entity tag of the account."))),
        (status = 400, description = "`malformed-body`: the body ended early or is not a form."),
        (status = 412, description = "`precondition-failed`: the account has changed in the meantime."),
        (status = 413, description = "`payload-too-large`: more than 2 MiB."),
        (status = 415, description = "`unsupported-media-type`: not a PNG, JPEG, WebP or GIF picture."),
        (status = 422, description = "`invalid-image`: the picture is damaged or has too many pixels; \
            `validation-failed`: the form has no file or more than one part."),
        (status = 503, description = "`unavailable`, `overloaded`.")
    )
)]
#[put("/user/avatar")]
pub async fn put_my_avatar(
    me: CurrentUser,
    client: Client,
    req: HttpRequest,
    body: Payload,
    pictures: Data<Pictures>,
) -> Result<HttpResponse, Problem> {
    let Pictures { db, clock, limits, storage, converter } = pictures.get_ref();
    let condition = IfMatch::of(&req)?;
    let permit = converter.reserve(client.network())?;
    limits.requests.count(&req, limits.rates.pictures, me.id.0.as_u128()).await?;
    let file = upload::read(&req, body).await?;
    let Picture { hash, squares } = permit.convert(file).await?;
    let name = |size| key(&hash, size);
    let files = squares.into_iter().map(async |square| storage.put(&name(square.size), square.content).await);
    // Before the account refers to them. If that fails, the sweep deletes them.
    try_join_all(files).await?;
    let now = clock.now();
    let refer = move |conn: &mut PgConnection| -> Result<User, Problem> {
        let (user, _) = store::replace(conn, me.id, Some(&hash), &condition, now)?.ok_or(Refusal::Revoked)?;
        Event::by_user(EventKind::ProfileChanged, &me, &client).record(conn, now)?;
        Ok(user)
    };
    let user = db.tx(refer).await?;
    Ok(HttpResponse::Ok().insert_header(etag::of_version(user.version)).json(user))
}
