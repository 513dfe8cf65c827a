//! Answers `GET /api/v1/coins.csv`: writes the list of coins as a table (RFC 4180).

use std::fmt::Write;

use actix_web::{HttpRequest, HttpResponse, get, web::Data};
use serde_json::Value;

use super::{body::Provenance, fields::Fields, select::Selection, view::View};
use crate::{
    http::{Problem, Query, csv_cell, respond_with},
    market::{Coin, Snapshot},
    tokens::{AllowedUncounted, api_keys::CoinsRead},
};

const BYTE_ORDER_MARK: char = '\u{feff}';

/// Download coins as a table
///
/// Returns the coins that `GET /api/v1/coins` returns for the same parameters, as CSV (RFC 4180) with a heading. Every row
/// ends with the currency, source, time, staleness and attribution of the data, and whether it is simulated. A cell that a
/// spreadsheet might run as a formula begins with an apostrophe. The text is UTF-8: Excel shows names with accents right
/// only with `bom=true`.
#[utoipa::path(
    tag = "coins",
    security(("bearer" = []), ("apiKey" = [])),
    params(
        ("fields" = Option<String>, Query, min_length = 1, max_length = 1000, example = "price,social.sentiment",
            description = "The columns besides `id` and `symbol`, comma-separated; all but `quote` and `sparkline_7d` by default."),
        ("bom" = Option<bool>, Query, example = true,
            description = "Begins the text with a byte order mark, by which Excel recognises UTF-8; false by default, because other programs take it for part of the first heading."),
        Selection,
        ("If-None-Match" = Option<String>, Header, description = "The `ETag` of the response the client already has.")
    ),
    responses(
        (status = 200, description = "The table.", body = String, content_type = "text/csv",
            headers(("ETag" = String, description = "Identifies this version of the response; send it as `If-None-Match`.")),
            example = "id,symbol,price,social.sentiment,currency,source,as_of,stale,attribution,simulated\r\n\
                1,BTC,70211.4421,0.12,GBP,coinmarketcap,2026-11-20T09:30:00Z,false,\
                Data provided by CoinMarketCap (https://coinmarketcap.com),false\r\n"),
        (status = 304, description = "The response has not changed."),
        (status = 403, description = "`insufficient-scope`: the API key lacks `coins:read`, or `watchlist:read` for `watchlist=true`.")
    )
)]
#[get("/coins.csv")]
pub async fn read_coins_csv(
    req: HttpRequest,
    me: AllowedUncounted<CoinsRead>,
    query: Query<Selection>,
    view: Data<View>,
) -> Result<HttpResponse, Problem> {
    let Query(query) = query;
    let fields = query.fields.as_deref().map_or_else(|| Ok(Fields::default()), Fields::parse)?;
    query.refuse_sparkline()?;
    let current = view.current(query.currency.as_deref())?;
    let watched = query.watched(&req, &me).await?;
    let snapshot = &current.snapshot;
    let found = query.of(snapshot, watched.as_ref())?;
    let mut text = table(&found, &fields, snapshot, &view.provenance(snapshot));
    if query.bom == Some(true) {
        text.insert(0, BYTE_ORDER_MARK);
    }
    Ok(respond_with(&req, "text/csv; charset=utf-8; header=present", text.into_bytes()))
}

/// Writes a row per coin: the selected fields, then currency, source, time, staleness, attribution and whether it is
/// simulated. Null is an empty cell.
fn table(coins: &[&Coin], fields: &Fields, snapshot: &Snapshot, provenance: &Provenance) -> String {
    let columns: Vec<&str> = fields.columns().collect();
    let mut text = columns.join(",") + ",currency,source,as_of,stale,attribution,simulated\r\n";
    let end = format!(
        ",{},{},{},{},{},{}\r\n",
        csv_cell(&provenance.currency),
        csv_cell(&provenance.source),
        provenance.as_of.format("%Y-%m-%dT%H:%M:%SZ"),
        provenance.stale,
        csv_cell(provenance.attribution.unwrap_or_default()),
        provenance.simulated
    );
    for coin in coins {
        let value = fields.value(coin, snapshot);
        for (index, column) in columns.iter().enumerate() {
            if index > 0 {
                text.push(',');
            }
            let inner = column.split('.').try_fold(&value, |value, name| value.get(name));
            match inner {
                None | Some(Value::Null) => {}
                Some(Value::String(words)) => text += &csv_cell(words),
                Some(Value::Array(items)) => {
                    let word = |item: &Value| item.as_str().map_or_else(|| item.to_string(), str::to_owned);
                    let words: Vec<_> = items.iter().map(word).collect();
                    text += &csv_cell(&words.join(" "));
                }
                Some(number) => {
                    let _ = write!(text, "{number}");
                }
            }
        }
        text += &end;
    }
    text
}
