//! Creates an alert of the user.

use actix_web::{HttpRequest, HttpResponse, post, web::Data};
use chrono::SubsecRound;
use diesel::PgConnection;
use serde::Deserialize;
use utoipa::ToSchema;
use uuid::Uuid;
use validator::Validate;

use super::{
    super::{find, portfolio, view::View},
    metric::{AlertMetric, Direction},
    model::Alert,
    store::{self, Created, MAX_ALERTS},
};
use crate::{
    clock::Clock,
    config,
    db::{CoinId, Db, UserId},
    http::{Envelope, Json, Problem, kind},
    idempotency::{IdempotencyKey, Reply},
    market::{self, Coin, Snapshot},
    tokens::{Allowed, Refusal, Sealer, api_keys::AlertsWrite},
};

#[derive(Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"coin": "bitcoin", "metric": "price", "direction": "above", "threshold": 75000}))]
pub struct CreateAlert {
    /// Id, slug or ticker symbol of the coin, in any case, or its `ref` from a search. Required, except for
    /// `portfolio_value`, which has no coin.
    #[schema(min_length = 1, max_length = 120)]
    #[validate(length(min = 1, max = 120, message = "must have 1 to 120 characters"))]
    coin: Option<String>,
    #[schema(inline)]
    metric: AlertMetric,
    /// ISO 4217 code of the amounts, or of the prices that a change is of: one of the configured currencies, by default the
    /// first; for `portfolio_value` by default that of your transactions. Not for `sentiment` and `popularity`.
    #[schema(min_length = 3, max_length = 3, pattern = "^[A-Za-z]{3}$")]
    currency: Option<String>,
    #[schema(inline)]
    direction: Direction,
    /// `price` and `popularity`: above 0, at most 1e15. `volume_24h` and `portfolio_value`: above 0, at most 1e18.
    /// `percent_change_…`: percent, from -100 to 10000. `sentiment`: -1 to 1.
    threshold: f64,
    /// How far the number must go back from the threshold before it can cross again. Default: 2% of the threshold, 1 for
    /// `percent_change_…`, 0.05 for `sentiment`. Minimum: 0.1% of the threshold, 0.1 for `percent_change_…`, 0.01 for
    /// `sentiment`. The number must be able to go back that far: prices and portfolios stay above 0, volumes and popularity
    /// at 0 or above, percent changes at -100 or above, sentiment within -1 and 1.
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
/// addresses. A sentiment or popularity of fewer than 10 posts (`ALERTS_MIN_POSTS`) counts only if its whole 95% confidence
/// interval has reached the threshold, so that one post causes no mail. `portfolio_value` is what everything that you hold
/// is worth; it is unknown, and no mail is sent, while a coin that you hold has no price.
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
    let CreateAlert { metric, direction, threshold, once, .. } = wanted;
    let currency = currency(&wanted, me.id, &view, &db).await?;
    let snapshot = view.current(currency.as_deref())?.snapshot.clone();
    let coin = find_coin(&wanted, &view, &db).await?;
    let value = match coin {
        // Invented prices do not count.
        _ if !metric.is_social() && !market::is_real(&snapshot.provider) => None,
        Some(id) => {
            let settings = req.app_data::<Data<config::Coins>>().expect("set by the app");
            let synced = snapshot.coins.iter().find(|coin| coin.id == id);
            synced.and_then(|coin| value(coin, metric, direction, settings.alerts_min_posts))
        }
        None => {
            let held = db.query(move |conn| portfolio::held(conn, me.id)).await?;
            value_of(&held, &snapshot)
        }
    };
    let alert = Alert {
        id: Uuid::now_v7(),
        coin,
        metric,
        currency,
        direction,
        threshold,
        hysteresis,
        once,
        armed: value.is_none_or(|value| !direction.is_crossed(value, threshold)),
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
    let limits = wanted.metric.limits(wanted.direction, wanted.threshold);
    if !limits.allow(wanted.threshold) {
        return Err(Problem::invalid("/threshold", "range", limits.rule));
    }
    let hysteresis = wanted.hysteresis.unwrap_or(limits.default_hysteresis);
    if !limits.allow_hysteresis(hysteresis) {
        let message = "must be at least 0.1% of the threshold (percent_change: 0.1, sentiment: 0.01) and at most as far as \
                       the number can go back";
        return Err(Problem::invalid("/hysteresis", "range", message));
    }
    Ok(hysteresis)
}

/// Returns the currency of the alert; None for a number without one.
async fn currency(
    wanted: &CreateAlert,
    user: UserId,
    view: &View,
    db: &Db,
) -> Result<Option<String>, Problem> {
    let named = wanted.currency.as_deref();
    match wanted.metric {
        metric if metric.is_social() => match named {
            None => Ok(None),
            Some(_) => Err(Problem::invalid(
                "/currency",
                "not-applicable",
                "sentiment and popularity have no currency",
            )),
        },
        AlertMetric::PortfolioValue if named.is_none() => {
            Ok(Some(portfolio::default_currency(user, view, db).await?))
        }
        // A threshold is an amount in the default currency also while only other ones are served.
        _ => Ok(Some(view.code(named)?)),
    }
}

/// Finds the coin of the alert; None for the value of the portfolio.
async fn find_coin(wanted: &CreateAlert, view: &View, db: &Db) -> Result<Option<CoinId>, Problem> {
    match (&wanted.coin, wanted.metric) {
        (None, AlertMetric::PortfolioValue) => Ok(None),
        (Some(_), AlertMetric::PortfolioValue) => {
            Err(Problem::invalid("/coin", "not-applicable", "portfolio_value has no coin"))
        }
        (None, _) => Err(Problem::invalid("/coin", "required", "is required for this metric")),
        (Some(name), _) => find::in_body(view, db, name).await.map(Some),
    }
}

/// Returns the value that is compared with the threshold, by the rule of [`store::evaluate`].
fn value(coin: &Coin, metric: AlertMetric, direction: Direction, min_posts: u32) -> Option<f64> {
    let social = || coin.social.as_ref();
    let (value, interval) = match metric {
        AlertMetric::Price => return coin.price,
        AlertMetric::Volume24h => return coin.volume_24h,
        AlertMetric::PercentChange1h => return coin.percent_change_1h,
        AlertMetric::PercentChange24h => return coin.percent_change_24h,
        AlertMetric::PercentChange7d => return coin.percent_change_7d,
        AlertMetric::PortfolioValue => return None,
        AlertMetric::Sentiment => (social()?.sentiment, social()?.interval),
        AlertMetric::Popularity => (social()?.popularity, social()?.popularity_interval),
    };
    if social()?.sample_size >= i64::from(min_posts) {
        return value;
    }
    interval.map(|interval| match direction {
        Direction::Above => interval.low,
        Direction::Below => interval.high,
    })
}

/// Returns what the holdings are worth; None if nothing is held, or a coin has no price.
fn value_of(held: &[(CoinId, f64)], snapshot: &Snapshot) -> Option<f64> {
    let price = |id| snapshot.coins.iter().find(|coin| coin.id == id)?.price;
    let values: Option<Vec<f64>> = held.iter().map(|(id, amount)| Some(amount * price(*id)?)).collect();
    values.filter(|values| !values.is_empty()).map(|values| values.iter().sum())
}
