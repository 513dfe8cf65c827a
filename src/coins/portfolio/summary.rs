//! Answers `GET /api/v1/user/portfolio`: what the user holds, what it is worth, and what it gained.

use std::collections::HashMap;

use actix_web::{
    get,
    web::{Data, Json},
};
use bigdecimal::{BigDecimal, ToPrimitive, Zero};
use serde::Serialize;
use utoipa::ToSchema;

use super::{
    super::{body::Provenance, view::View},
    body::default_currency,
    decimal::{from_f64, rounded},
    positions::{Gain, Position, positions},
    store,
};
use crate::{
    db::{CoinId, Db},
    http::Problem,
    market::{Identity, Snapshot},
    tokens::{Allowed, api_keys::PortfolioRead},
};

/// What you hold, what it is worth, and what it gained. All numbers are exact decimals as text; computed ones are rounded to
/// eight decimals, half to even.
#[derive(Serialize, ToSchema)]
pub struct Portfolio {
    /// ISO 4217 code of all amounts of money.
    #[schema(example = "GBP")]
    currency: String,
    /// Source and age of the prices; null if there are no prices in this currency.
    prices: Option<Provenance>,
    /// What the coins that have a price are worth; null if none has.
    #[schema(example = "17552.861025")]
    value: Option<String>,
    /// Slugs of coins that you hold and that have no price: `value` and `unrealised` leave them out.
    #[schema(example = json!([]))]
    unpriced: Vec<String>,
    average_cost: Gains,
    fifo: Gains,
    /// The most valuable first; also coins of which everything is sold.
    positions: Vec<HeldCoin>,
}

/// Cost and gains by one method. With average cost, a sale takes the same share of the cost as of the amount. With FIFO
/// (first in, first out), it takes the oldest purchases first. Both methods give the same sum of both gains.
#[derive(Serialize, ToSchema)]
pub struct Gains {
    /// What was paid for what is held.
    #[schema(example = "15000")]
    cost: String,
    /// What sales brought in more than had been paid for what was sold; negative for a loss.
    #[schema(example = "0")]
    realised: String,
    /// Value less cost; null without a price.
    #[schema(example = "2552.861025")]
    unrealised: Option<String>,
}

/// A coin of the portfolio.
#[derive(Serialize, ToSchema)]
pub struct HeldCoin {
    #[schema(value_type = i64, example = 1)]
    id: CoinId,
    #[schema(example = "BTC")]
    symbol: String,
    #[schema(example = "Bitcoin")]
    name: String,
    #[schema(example = "bitcoin")]
    slug: String,
    /// Exact amount that is held.
    #[schema(example = "0.25")]
    amount: String,
    /// Price of one coin; null if the coin is not in the last sync.
    #[schema(example = "70211.4441")]
    price: Option<String>,
    /// Amount times price.
    #[schema(example = "17552.861025")]
    value: Option<String>,
    /// Share of the portfolio's value, from 0 to 1.
    #[schema(example = 1.0)]
    share: Option<f64>,
    average_cost: Gains,
    fifo: Gains,
}

/// Read your portfolio
///
/// Returns the value of your holdings at the latest prices, and gains and losses by two methods. Prices are those of
/// `GET /coins` in the currency of your transactions.
#[utoipa::path(
    tag = "portfolio",
    security(("bearer" = []), ("apiKey" = [])),
    responses((status = 200, description = "The portfolio.", body = Portfolio))
)]
#[get("/user/portfolio")]
pub async fn read_portfolio(
    me: Allowed<PortfolioRead>,
    view: Data<View>,
    db: Data<Db>,
) -> Result<Json<Portfolio>, Problem> {
    let currency = default_currency(me.id, &view, &db).await?;
    let (transactions, names) =
        db.query_tx(move |conn| Ok((store::all(conn, me.id)?, store::coins(conn, me.id)?))).await?;
    // An operator may have removed the currency since.
    let current = view.current(Some(&currency)).ok();
    let snapshot = current.as_ref().map(|current| &*current.snapshot);
    let held = Holdings { positions: positions(&transactions), names, prices: prices(snapshot) };
    let provenance = snapshot.map(|snapshot| view.provenance(snapshot));
    Ok(Json(held.portfolio(currency, provenance)))
}

fn prices(snapshot: Option<&Snapshot>) -> HashMap<CoinId, BigDecimal> {
    let coins = snapshot.iter().flat_map(|snapshot| &snapshot.coins);
    coins.filter_map(|coin| Some((coin.id, from_f64(coin.price?)?))).collect()
}

struct Holdings {
    positions: HashMap<CoinId, Position>,
    names: HashMap<CoinId, Identity>,
    prices: HashMap<CoinId, BigDecimal>,
}

impl Holdings {
    fn value_of(&self, coin: CoinId, position: &Position) -> Option<BigDecimal> {
        if position.amount.is_zero() {
            return Some(BigDecimal::zero());
        }
        Some(self.prices.get(&coin)? * &position.amount)
    }

    fn portfolio(self, currency: String, prices: Option<Provenance>) -> Portfolio {
        let mut valued: Vec<_> = self
            .positions
            .iter()
            .filter_map(|(coin, position)| {
                Some((self.names.get(coin)?, position, self.value_of(*coin, position)))
            })
            .collect();
        valued.sort_by(|(a, _, of_a), (b, _, of_b)| of_b.cmp(of_a).then(a.id.cmp(&b.id)));
        let unpriced: Vec<String> =
            valued.iter().filter(|(.., value)| value.is_none()).map(|(coin, ..)| coin.slug.clone()).collect();
        let has_value = valued.is_empty() || valued.iter().any(|(.., value)| value.is_some());
        let value: Option<BigDecimal> =
            has_value.then(|| valued.iter().filter_map(|(.., value)| value.as_ref()).sum());
        let total = |gain: fn(&Position) -> &Gain| {
            let all = valued.iter().map(|(_, position, value)| gains(gain(position), value.as_ref()));
            let sum = all.fold((BigDecimal::zero(), BigDecimal::zero(), BigDecimal::zero()), |sum, one| {
                (sum.0 + one.0, sum.1 + one.1, sum.2 + one.2.unwrap_or_default())
            });
            shown((sum.0, sum.1, has_value.then_some(sum.2)))
        };
        let (average_cost, fifo) =
            (total(|position| &position.average_cost), total(|position| &position.fifo));
        let positions = valued
            .into_iter()
            .map(|(coin, position, own)| self.held_coin(coin.clone(), position, own, value.as_ref()));
        let positions = positions.collect();
        let value = value.as_ref().map(rounded);
        Portfolio { currency, prices, value, unpriced, average_cost, fifo, positions }
    }

    fn held_coin(
        &self,
        coin: Identity,
        position: &Position,
        value: Option<BigDecimal>,
        of: Option<&BigDecimal>,
    ) -> HeldCoin {
        let Identity { id, symbol, name, slug } = coin;
        let share = value.as_ref().zip(of).filter(|(_, of)| !of.is_zero());
        HeldCoin {
            id,
            symbol,
            name,
            slug,
            amount: position.amount.normalized().to_plain_string(),
            price: self.prices.get(&id).map(BigDecimal::to_plain_string),
            share: share.and_then(|(value, of)| (value / of).round(4).to_f64()),
            average_cost: shown(gains(&position.average_cost, value.as_ref())),
            fifo: shown(gains(&position.fifo, value.as_ref())),
            value: value.as_ref().map(rounded),
        }
    }
}

/// Cost, realised and unrealised gain.
type Sums = (BigDecimal, BigDecimal, Option<BigDecimal>);

fn gains(gain: &Gain, value: Option<&BigDecimal>) -> Sums {
    (gain.cost.clone(), gain.realised.clone(), value.map(|value| value - &gain.cost))
}

fn shown((cost, realised, unrealised): Sums) -> Gains {
    Gains { cost: rounded(&cost), realised: rounded(&realised), unrealised: unrealised.as_ref().map(rounded) }
}
