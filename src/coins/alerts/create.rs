//! Creates an alert of the user.

use actix_web::{HttpRequest, HttpResponse, post, web::Data};
use chrono::SubsecRound;
use diesel::PgConnection;
use serde::Deserialize;
use utoipa::ToSchema;
use uuid::Uuid;
use validator::Validate;

use super::{
    super::{find, history::Metric, view::View},
    model::{Alert, Direction},
    store::{self, Created, MAX_ALERTS},
};
use crate::{
    clock::Clock,
    db::Db,
    http::{Envelope, Json, Problem, kind},
    idempotency::{IdempotencyKey, Reply},
    market::{self, Coin},
    tokens::{Allowed, Refusal, Sealer, api_keys::AlertsWrite},
};

/// Hysteresis of price and popularity, as a fraction of the threshold.
const DEFAULT_FRACTION: f64 = 0.02;
const MIN_FRACTION: f64 = 0.001;
/// Hysteresis of sentiment, which ranges from -1 to 1.
const DEFAULT_SENTIMENT_HYSTERESIS: f64 = 0.05;
const MIN_SENTIMENT_HYSTERESIS: f64 = 0.01;
/// Higher than any price.
const MAX_THRESHOLD: f64 = 1e15;

#[derive(Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"coin": "bitcoin", "metric": "price", "direction": "above", "threshold": 75000}))]
pub struct CreateAlert {
    /// Id, slug or ticker symbol of the coin, in any case.
    #[schema(min_length = 1, max_length = 100)]
    #[validate(length(min = 1, max = 100, message = "must have 1 to 100 characters"))]
    coin: String,
    #[schema(inline)]
    metric: Metric,
    /// Only for prices: ISO 4217 code of the threshold, one of the configured currencies, by default the first.
    #[schema(min_length = 3, max_length = 3, pattern = "^[A-Za-z]{3}$")]
    currency: Option<String>,
    #[schema(inline)]
    direction: Direction,
    /// Price and popularity: above 0. Sentiment: -1 to 1.
    threshold: f64,
    /// How far the number must go back from the threshold before it can cross again. Default: 2% of the threshold,
    /// sentiment 0.05. Minimum: 0.1% of the threshold, sentiment 0.01. The number must be able to go back that far: prices
    /// stay above 0, popularity at 0 or above, sentiment within -1 and 1.
    hysteresis: Option<f64>,
    /// Whether to delete the alert after its first crossing; false by default.
    // A default in the schema would make the member required in clients by openapi-typescript.
    #[serde(default)]
    once: bool,
}

/// Create an alert
///
/// Sends you a mail when the number reaches the threshold, checked after each sync. The next mail follows only after the
/// number has gone back by `hysteresis`; this also holds if it is beyond the threshold now. Mails are sent only to confirmed
/// addresses.
#[utoipa::path(
    tag = "alerts",
    security(("bearer" = []), ("apiKey" = [])),
    params((
        "Idempotency-Key" = Option<String>, Header,
        description = "A new value for each new alert, such as a UUID. A request that is repeated with the same value and \
            body within 24 hours gets the same response and creates no second alert.",
    )),
    responses(
        (status = 201, description = "The alert.", body = Alert,
            headers(
                ("Location" = String, description = "URL of the alert."),
                ("Idempotency-Replayed" = bool, description = "`true` if an earlier response is repeated.")
            )),
        (status = 409, description = "`limit-reached`: you have 50 alerts, the maximum; `ambiguous-name`: several \
            coins have this name, and `choices` lists them with their ids; `idempotency-key-in-use`."),
        (status = 422, description = "`validation-failed`, `idempotency-key-reused`.")
    )
)]
#[post("/user/alerts")]
pub async fn create_alert(
    me: Allowed<AlertsWrite>,
    req: HttpRequest,
    body: Json<CreateAlert>,
    view: Data<View>,
    db: Data<Db>,
    clock: Data<Clock>,
    sealer: Data<Sealer>,
) -> Result<HttpResponse, Problem> {
    let key = IdempotencyKey::of(&req, me.id)?;
    let Json(wanted) = body;
    let hysteresis = check_numbers(&wanted)?;
    let of_price = wanted.metric == Metric::Price;
    if wanted.currency.is_some() && !of_price {
        return Err(Problem::invalid("/currency", "not-applicable", "only prices have a currency"));
    }
    // A threshold is an amount in the default currency also while only other ones are served.
    let currency = wanted.currency.as_deref().or(of_price.then(|| view.default_currency()));
    let snapshot = view.current(currency)?.snapshot.clone();
    let no_such_coin = |problem: Problem| match problem.kind().code {
        code if code == kind::NOT_FOUND.code => {
            Problem::invalid("/coin", "unknown", "must name a coin of the last sync")
        }
        _ => find::refuse_change(problem),
    };
    let coin = find::in_snapshot(&snapshot, &wanted.coin).map_err(no_such_coin)?;
    // Invented prices do not count.
    let is_known = !of_price || market::is_real(&snapshot.provider);
    let value = value(coin, wanted.metric).filter(|_| is_known);
    let alert = Alert {
        id: Uuid::now_v7(),
        coin: coin.id,
        metric: wanted.metric,
        currency: of_price.then(|| snapshot.currency.clone()),
        direction: wanted.direction,
        threshold: wanted.threshold,
        hysteresis,
        once: wanted.once,
        armed: value.is_none_or(|value| !wanted.direction.is_crossed(value, wanted.threshold)),
        // The precision of the database.
        created_at: clock.now().trunc_subsecs(6),
        crossed_at: None,
    };
    let envelope = req.app_data::<Data<Envelope>>().expect("set by the app");
    let location = format!("{}/api/v1/user/alerts/{}", envelope.public_url, alert.id);
    let create = move |conn: &mut PgConnection| match store::create(conn, me.id, alert)? {
        Created::Yes(alert) => Reply::created(&alert, Some(location)),
        Created::Full => {
            Err(Problem::new(&kind::LIMIT_REACHED).detail(format!("at most {MAX_ALERTS} alerts")))
        }
        Created::NoUser => Err(Refusal::Revoked.into()),
    };
    let (now, sealer) = (clock.now(), sealer.into_inner());
    let reply = db.tx(move |conn| key.once(conn, &sealer, now, create)).await?;
    Ok(reply.respond())
}

/// Checks threshold and hysteresis, and returns the hysteresis.
fn check_numbers(wanted: &CreateAlert) -> Result<f64, Problem> {
    let CreateAlert { metric, direction, threshold, hysteresis, .. } = *wanted;
    // How far the number can go back from the threshold.
    let room = match (metric, direction) {
        (Metric::Sentiment, Direction::Above) => threshold + 1.0,
        (Metric::Sentiment, Direction::Below) => 1.0 - threshold,
        (_, Direction::Above) => threshold,
        (_, Direction::Below) => MAX_THRESHOLD,
    };
    let (fits, message, default, min) = match metric {
        Metric::Sentiment => {
            let fits = (-1.0..=1.0).contains(&threshold) && room >= MIN_SENTIMENT_HYSTERESIS;
            let message = "must be from -1 to 1, and the number must be able to go back by 0.01";
            (fits, message, DEFAULT_SENTIMENT_HYSTERESIS.min(room), MIN_SENTIMENT_HYSTERESIS)
        }
        Metric::Price | Metric::Popularity => {
            let fits = threshold > 0.0 && threshold <= MAX_THRESHOLD;
            (
                fits,
                "must be more than 0 and at most 1e15",
                threshold * DEFAULT_FRACTION,
                threshold * MIN_FRACTION,
            )
        }
    };
    if !fits {
        return Err(Problem::invalid("/threshold", "range", message));
    }
    let hysteresis = hysteresis.unwrap_or(default);
    let is_reachable = if metric == Metric::Price { hysteresis < room } else { hysteresis <= room };
    // Also refuses a hysteresis that underflows to 0.
    if !(hysteresis > 0.0 && hysteresis >= min && is_reachable) {
        let message = "must be at least 0.1% of the threshold (sentiment: 0.01) and at most as far as the number can go back";
        return Err(Problem::invalid("/hysteresis", "range", message));
    }
    Ok(hysteresis)
}

fn value(coin: &Coin, metric: Metric) -> Option<f64> {
    let social = coin.social.as_ref();
    match metric {
        Metric::Price => coin.price,
        Metric::Sentiment => social?.sentiment,
        Metric::Popularity => social?.popularity,
    }
}
