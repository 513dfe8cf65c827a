//! Streams all rows of a list, batch by batch, so that an export of any size needs the memory of one batch.

use std::sync::Arc;

use actix_web::{HttpResponse, http::header, web::Bytes};
use futures_util::stream::{self, StreamExt, TryStreamExt};
use serde::Serialize;

use super::Problem;
use crate::db::DbError;

/// Rows of one batch.
pub const BATCH: u32 = 500;

/// The content type of newline-delimited JSON: one object a line.
pub const NDJSON: &str = "application/x-ndjson";

/// Rows, and where the next batch begins; None after the last.
pub type Batch<T, C> = (Vec<T>, Option<C>);

/// Responds with all rows. `fetch` reads the batch that begins at a cursor, `write` appends one row.
///
/// The first batch is read before the response begins, so its failure is answered as usual. A later failure breaks the
/// connection off: the client sees that the body is incomplete.
pub async fn respond_rows<T, C, F>(
    content_type: &'static str,
    heading: Vec<u8>,
    fetch: impl Fn(Option<C>) -> F + 'static,
    write: impl Fn(&T, &mut Vec<u8>) + 'static,
) -> Result<HttpResponse, Problem>
where
    T: 'static,
    C: 'static,
    F: Future<Output = Result<Batch<T, C>, DbError>>,
{
    let first = fetch(None).await?;
    let (fetch, write) = (Arc::new(fetch), Arc::new(write));
    let rest = stream::try_unfold(Some(Next::Ready(heading, first)), move |next| {
        let (fetch, write) = (fetch.clone(), write.clone());
        async move {
            let (mut text, (rows, cursor)) = match next {
                None => return Ok::<_, DbError>(None),
                Some(Next::Ready(heading, batch)) => (heading, batch),
                Some(Next::At(cursor)) => (Vec::new(), fetch(Some(cursor)).await?),
            };
            for row in &rows {
                write(row, &mut text);
            }
            Ok(Some((Bytes::from(text), cursor.map(Next::At))))
        }
    });
    let body = rest.inspect_err(|error| tracing::warn!(%error, "an export was broken off")).boxed_local();
    Ok(HttpResponse::Ok().insert_header((header::CONTENT_TYPE, content_type)).streaming(body))
}

/// Appends a row of newline-delimited JSON.
pub fn write_json_line<T: Serialize>(row: &T, text: &mut Vec<u8>) {
    serde_json::to_writer(&mut *text, row).expect("a row of plain values");
    text.push(b'\n');
}

enum Next<T, C> {
    Ready(Vec<u8>, Batch<T, C>),
    At(C),
}
