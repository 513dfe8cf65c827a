//! Records a transaction of the user.

use actix_web::{HttpRequest, HttpResponse, post, web::Data};
use diesel::PgConnection;

use super::{
    super::view::View,
    body::TransactionBody,
    model::Transaction,
    store::{self, Change},
};
use crate::{
    clock::Clock,
    db::Db,
    http::{Envelope, Json, Problem},
    idempotency::{IdempotencyKey, Reply},
    tokens::{Allowed, Sealer, api_keys::PortfolioWrite},
};

/// Record a transaction
///
/// Adds a purchase or a sale to your portfolio; at most 5,000, of at most 250 coins, in one currency. A sale cannot be of
/// more than you held on its day. Within a day purchases come before sales. Numbers are exact decimals, sent as text,
/// because JSON numbers lose digits.
#[utoipa::path(
    tag = "portfolio",
    security(("bearer" = []), ("apiKey" = [])),
    params((
        "Idempotency-Key" = Option<String>, Header,
        description = "A new value for each new transaction, such as a UUID. A request that is repeated with the same value \
            and body within 24 hours gets the same response and records nothing twice.",
    )),
    responses(
        (status = 201, description = "The transaction.", body = Transaction,
            headers(
                ("Location" = String, description = "URL of the transaction."),
                ("Idempotency-Replayed" = bool, description = "`true` if an earlier response is repeated.")
            )),
        (status = 409, description = "`holdings-exceeded`; `limit-reached`; `ambiguous-name`: several coins have this \
            name, and `choices` lists them with their ids; `idempotency-key-in-use`."),
        (status = 422, description = "`validation-failed`, `idempotency-key-reused`.")
    )
)]
#[post("/user/portfolio/transactions")]
pub async fn create_transaction(
    me: Allowed<PortfolioWrite>,
    req: HttpRequest,
    body: Json<TransactionBody>,
    view: Data<View>,
    db: Data<Db>,
    clock: Data<Clock>,
    sealer: Data<Sealer>,
) -> Result<HttpResponse, Problem> {
    let key = IdempotencyKey::of(&req, me.id)?;
    let now = clock.now();
    let transaction = body.0.into_transaction(me.id, &view, &db, now).await?;
    let envelope = req.app_data::<Data<Envelope>>().expect("set by the app");
    let location = format!("{}/api/v1/user/portfolio/transactions/{}", envelope.public_url, transaction.id);
    let create = move |conn: &mut PgConnection| {
        store::apply(conn, me.id, Change::Add(transaction.clone()))?;
        Reply::created(&transaction, Some(location))
    };
    let sealer = sealer.into_inner();
    let reply = db.tx(move |conn| key.once(conn, &sealer, now, create)).await?;
    Ok(reply.respond())
}
