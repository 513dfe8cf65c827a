//! Creates an alert of the user.

use actix_web::{HttpResponse, post, web::Data};
use chrono::SubsecRound;
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
    db::{CoinId, Db},
    http::{Json, Problem, kind},
    market::Coin,
    tokens::{CurrentUser, Refusal},
};

/// Of prices and popularity, as a part of the threshold.
const DEFAULT_PART: f64 = 0.02;
const MIN_PART: f64 = 0.001;
/// Of sentiment, which goes from -1 to 1.
const DEFAULT_SENTIMENT: f64 = 0.05;
const MIN_SENTIMENT: f64 = 0.01;
/// Beyond any price.
const MAX_THRESHOLD: f64 = 1e15;

#[derive(Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"coin": "bitcoin", "metric": "price", "direction": "above", "threshold": 75000}))]
pub struct CreateAlert {
    /// Id, slug or ticker symbol.
    #[schema(min_length = 1, max_length = 100)]
    #[validate(length(min = 1, max = 100, message = "must have 1 to 100 characters"))]
    coin: String,
    #[schema(inline)]
    metric: Metric,
    /// ISO 4217 code of a price's threshold, one of the configured; the first of them by default.
    #[schema(min_length = 3, max_length = 3)]
    currency: Option<String>,
    #[schema(inline)]
    direction: Direction,
    /// Of a price more than 0; of sentiment from -1 to 1; of popularity more than 0.
    threshold: f64,
    /// How far behind the threshold the number must go before it can cross again; by default 2% of the
    /// threshold (at least 0.1% of it), of sentiment 0.05 (at least 0.01). Not farther than it can go: a price stays
    /// above 0, popularity at 0 or above, sentiment from -1 to 1.
    hysteresis: Option<f64>,
    /// Whether the alert is deleted with its first crossing.
    #[serde(default)]
    #[schema(default = false)]
    once: bool,
}

/// Create an alert
///
/// You get a mail when a sync finds the number at the threshold or beyond it for the first time, and again only after
/// it has gone back by `hysteresis`. A number that is beyond it already must go back first. Mails go to a confirmed
/// address only.
#[utoipa::path(
    tag = "alerts",
    security(("bearer" = [])),
    responses(
        (status = 201, description = "The alert.", body = Alert),
        (status = 300, description = "`ambiguous`: several coins have this name; `choices` lists them."),
        (status = 409, description = "`limit-reached`: you have 50 alerts.")
    )
)]
#[post("/user/alerts")]
pub async fn create_alert(
    me: CurrentUser,
    body: Json<CreateAlert>,
    view: Data<View>,
    db: Data<Db>,
    clock: Data<Clock>,
) -> Result<HttpResponse, Problem> {
    let Json(wanted) = body;
    let hysteresis = check_numbers(&wanted)?;
    let of_price = wanted.metric == Metric::Price;
    if wanted.currency.is_some() && !of_price {
        return Err(Problem::invalid("/currency", "not-applicable", "only prices have a currency"));
    }
    let snapshot = view.current(wanted.currency.as_deref())?.snapshot.clone();
    let no_such_coin = |problem: Problem| match problem.kind().code {
        code if code == kind::NOT_FOUND.code => {
            Problem::invalid("/coin", "unknown", "is no coin of the last sync")
        }
        _ => problem,
    };
    let coin = find::in_snapshot(&snapshot, &wanted.coin).map_err(no_such_coin)?;
    let value = value(coin, wanted.metric);
    let alert = Alert {
        id: Uuid::now_v7(),
        coin: CoinId(coin.id),
        metric: wanted.metric,
        currency: of_price.then(|| snapshot.currency.clone()),
        direction: wanted.direction,
        threshold: wanted.threshold,
        hysteresis,
        once: wanted.once,
        armed: value.is_none_or(|value| !wanted.direction.is_crossed(value, wanted.threshold)),
        // As exact as the database keeps it.
        created_at: clock.now().trunc_subsecs(6),
        crossed_at: None,
    };
    match db.query_tx(move |conn| store::create(conn, me.id, alert)).await? {
        Created::Yes(alert) => Ok(HttpResponse::Created().json(alert)),
        Created::Full => {
            Err(Problem::new(&kind::LIMIT_REACHED).detail(format!("at most {MAX_ALERTS} alerts")))
        }
        Created::NoUser => Err(Refusal::Revoked.into()),
    }
}

/// The hysteresis, if the threshold and it make sense.
fn check_numbers(wanted: &CreateAlert) -> Result<f64, Problem> {
    let CreateAlert { metric, direction, threshold, hysteresis, .. } = *wanted;
    // How far behind the threshold the number can go.
    let room = match (metric, direction) {
        (Metric::Sentiment, Direction::Above) => threshold + 1.0,
        (Metric::Sentiment, Direction::Below) => 1.0 - threshold,
        (_, Direction::Above) => threshold,
        (_, Direction::Below) => MAX_THRESHOLD,
    };
    let (fits, message, default, min) = match metric {
        Metric::Sentiment => {
            let fits = (-1.0..=1.0).contains(&threshold) && room >= MIN_SENTIMENT;
            let message = "must be from -1 to 1, with room for 0.01 behind it";
            (fits, message, DEFAULT_SENTIMENT.min(room), MIN_SENTIMENT)
        }
        Metric::Price | Metric::Popularity => {
            let fits = threshold > 0.0 && threshold <= MAX_THRESHOLD;
            (fits, "must be more than 0 and at most 1e15", threshold * DEFAULT_PART, threshold * MIN_PART)
        }
    };
    if !fits {
        return Err(Problem::invalid("/threshold", "range", message));
    }
    let hysteresis = hysteresis.unwrap_or(default);
    let is_reachable = if metric == Metric::Price { hysteresis < room } else { hysteresis <= room };
    // Written so that what rounds to nothing does not fit either.
    if !(hysteresis > 0.0 && hysteresis >= min && is_reachable) {
        let message = "must be at least 0.1% of the threshold (of sentiment 0.01) and no more than the number can go back";
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
