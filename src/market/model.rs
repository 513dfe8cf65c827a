//! Defines coins, snapshots, reports of providers and exchange rates.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use diesel::{Insertable, Queryable, Selectable};
use serde::Serialize;
use utoipa::ToSchema;

use super::store::Point;
use crate::{
    db::{
        CoinId, SnapshotId,
        schema::{coin_quotes, coins, snapshot_rates},
    },
    social::Social,
};

/// A coin with its market data. Amounts are in the `currency` of the response; a number is null if the provider
/// did not report it.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct Coin {
    /// Mintage's own id: ticker symbols are not unique.
    #[schema(value_type = i64, example = 1)]
    pub id: CoinId,
    #[schema(example = "BTC")]
    pub symbol: String,
    #[schema(example = "Bitcoin")]
    pub name: String,
    /// Name of the coin in URLs.
    #[schema(example = "bitcoin")]
    pub slug: String,
    /// Rank by market capitalisation, from 1.
    #[schema(example = 1)]
    pub rank: i32,
    /// Price of one coin.
    #[schema(example = 70211.4421)]
    pub price: Option<f64>,
    /// Amount traded in the last 24 hours.
    #[schema(example = 112_536_391_040.63)]
    pub volume_24h: Option<f64>,
    /// Change of `volume_24h` against the 24 hours before, in percent.
    #[schema(example = -37.9991)]
    pub volume_change_24h: Option<f64>,
    /// Change of the price within an hour, in percent.
    #[schema(example = -0.67)]
    pub percent_change_1h: Option<f64>,
    /// Change of the price within 24 hours, in percent.
    #[schema(example = -3.88)]
    pub percent_change_24h: Option<f64>,
    /// Change of the price within 7 days, in percent.
    #[schema(example = 7.09)]
    pub percent_change_7d: Option<f64>,
    /// Change of the price within 30 days, in percent.
    #[schema(example = 10.6)]
    pub percent_change_30d: Option<f64>,
    /// Price times circulating supply.
    #[schema(example = 1_400_804_910_814.55)]
    pub market_cap: Option<f64>,
    /// Number of coins in circulation.
    #[schema(example = 19_951_234.0)]
    pub circulating_supply: Option<f64>,
    /// Number of coins that can ever exist; null if there is no limit, or if the provider does not report it.
    #[schema(example = 21_000_000.0)]
    pub max_supply: Option<f64>,
    /// Highest price of the last 24 hours.
    #[schema(example = 71_615.67)]
    pub high_24h: Option<f64>,
    /// Lowest price of the last 24 hours.
    #[schema(example = 68_105.1)]
    pub low_24h: Option<f64>,
    /// Highest price ever (all-time high), in the first configured currency; in another one, that price at the rate of today.
    #[schema(example = 98_296.02)]
    pub ath: Option<f64>,
    /// Time of `ath`.
    pub ath_at: Option<DateTime<Utc>>,
    /// HTTPS address of the logo, at the provider; null if none has reported one.
    #[schema(max_length = 300, example = "https://s2.coinmarketcap.com/static/img/coins/64x64/1.png")]
    pub image: Option<String>,
    /// Tags of the provider, at most 30; empty if none has reported any.
    #[schema(max_items = 30, example = json!(["mineable", "pow", "store-of-value"]))]
    pub tags: Vec<String>,
    /// Last price of each hour of the last 7 days, the oldest first, at most 168: hours without a price are left out. Only
    /// with `sparkline=true` or if `fields` names it; null without history.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Vec<f64>>, required = false, max_items = 168, example = json!([69_980.4, 70_105.1, 70_211.44]))]
    pub sparkline_7d: Option<Option<Vec<f64>>>,
    /// When the provider last updated this price; null if it does not report that.
    pub updated_at: Option<DateTime<Utc>>,
    /// The amounts and changes again, in one object with their currency.
    pub quote: Quote,
    /// Null if no source was read for this coin in the last 7 days.
    pub social: Option<Social>,
}

/// Market data of a coin in one currency.
#[derive(Clone, Debug, Default, PartialEq, Serialize, ToSchema)]
pub struct Quote {
    /// ISO 4217 code.
    #[schema(example = "GBP")]
    pub currency: String,
    /// Price of one coin.
    #[schema(example = 70211.4421)]
    pub price: Option<f64>,
    /// Amount traded in the last 24 hours.
    #[schema(example = 112_536_391_040.63)]
    pub volume_24h: Option<f64>,
    /// Change of `volume_24h` against the 24 hours before, in percent.
    #[schema(example = -37.9991)]
    pub volume_change_24h: Option<f64>,
    /// Change of the price within an hour, in percent.
    #[schema(example = -0.67)]
    pub percent_change_1h: Option<f64>,
    /// Change of the price within 24 hours, in percent.
    #[schema(example = -3.88)]
    pub percent_change_24h: Option<f64>,
    /// Change of the price within 7 days, in percent.
    #[schema(example = 7.09)]
    pub percent_change_7d: Option<f64>,
    /// Change of the price within 30 days, in percent.
    #[schema(example = 10.6)]
    pub percent_change_30d: Option<f64>,
    /// Price times circulating supply.
    #[schema(example = 1_400_804_910_814.55)]
    pub market_cap: Option<f64>,
    /// Highest price of the last 24 hours.
    #[schema(example = 71_615.67)]
    pub high_24h: Option<f64>,
    /// Lowest price of the last 24 hours.
    #[schema(example = 68_105.1)]
    pub low_24h: Option<f64>,
    /// Highest price ever (all-time high), in the first configured currency; in another one, that price at the rate of today.
    #[schema(example = 98_296.02)]
    pub ath: Option<f64>,
    /// Time of `ath`.
    pub ath_at: Option<DateTime<Utc>>,
}

/// The numbers of a coin in one currency; None if the provider did not report them. [`Coin`] documents the fields.
#[derive(Clone, Debug, Default, PartialEq, Queryable, Selectable, Insertable)]
#[diesel(table_name = coin_quotes)]
pub struct Numbers {
    pub price: Option<f64>,
    pub volume_24h: Option<f64>,
    pub volume_change_24h: Option<f64>,
    pub percent_change_1h: Option<f64>,
    pub percent_change_24h: Option<f64>,
    pub percent_change_7d: Option<f64>,
    pub percent_change_30d: Option<f64>,
    pub market_cap: Option<f64>,
    pub circulating_supply: Option<f64>,
    pub max_supply: Option<f64>,
    pub high_24h: Option<f64>,
    pub low_24h: Option<f64>,
    pub ath: Option<f64>,
    pub ath_at: Option<DateTime<Utc>>,
}

/// Describes a coin by what is the same in every snapshot.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Profile {
    /// HTTPS address of the logo.
    pub image: Option<String>,
    /// None if the provider has no tags.
    pub tags: Option<Vec<String>>,
}

impl Coin {
    pub fn new(
        identity: Identity,
        profile: Profile,
        rank: i32,
        social: Option<Social>,
        numbers: Numbers,
        updated_at: Option<DateTime<Utc>>,
        currency: &str,
    ) -> Self {
        let Identity { id, symbol, name, slug } = identity;
        Self {
            id,
            symbol,
            name,
            slug,
            rank,
            quote: Quote::new(&numbers, currency),
            price: numbers.price,
            volume_24h: numbers.volume_24h,
            volume_change_24h: numbers.volume_change_24h,
            percent_change_1h: numbers.percent_change_1h,
            percent_change_24h: numbers.percent_change_24h,
            percent_change_7d: numbers.percent_change_7d,
            percent_change_30d: numbers.percent_change_30d,
            market_cap: numbers.market_cap,
            circulating_supply: numbers.circulating_supply,
            max_supply: numbers.max_supply,
            high_24h: numbers.high_24h,
            low_24h: numbers.low_24h,
            ath: numbers.ath,
            ath_at: numbers.ath_at,
            image: profile.image,
            tags: profile.tags.unwrap_or_default(),
            sparkline_7d: None,
            updated_at,
            social,
        }
    }

    pub fn numbers(&self) -> Numbers {
        Numbers {
            price: self.price,
            volume_24h: self.volume_24h,
            volume_change_24h: self.volume_change_24h,
            percent_change_1h: self.percent_change_1h,
            percent_change_24h: self.percent_change_24h,
            percent_change_7d: self.percent_change_7d,
            percent_change_30d: self.percent_change_30d,
            market_cap: self.market_cap,
            circulating_supply: self.circulating_supply,
            max_supply: self.max_supply,
            high_24h: self.high_24h,
            low_24h: self.low_24h,
            ath: self.ath,
            ath_at: self.ath_at,
        }
    }

    pub fn profile(&self) -> Profile {
        Profile { image: self.image.clone(), tags: Some(self.tags.clone()) }
    }
}

impl Quote {
    fn new(numbers: &Numbers, currency: &str) -> Self {
        Self {
            currency: currency.to_owned(),
            price: numbers.price,
            volume_24h: numbers.volume_24h,
            volume_change_24h: numbers.volume_change_24h,
            percent_change_1h: numbers.percent_change_1h,
            percent_change_24h: numbers.percent_change_24h,
            percent_change_7d: numbers.percent_change_7d,
            percent_change_30d: numbers.percent_change_30d,
            market_cap: numbers.market_cap,
            high_24h: numbers.high_24h,
            low_24h: numbers.low_24h,
            ath: numbers.ath,
            ath_at: numbers.ath_at,
        }
    }
}

/// Identifies a coin, without market data.
#[derive(Clone, Debug, PartialEq, Eq, Queryable, Selectable)]
#[diesel(table_name = coins)]
pub struct Identity {
    pub id: CoinId,
    pub symbol: String,
    pub name: String,
    pub slug: String,
}

impl From<&Coin> for Identity {
    fn from(coin: &Coin) -> Self {
        let Coin { id, symbol, name, slug, .. } = coin;
        Self { id: *id, symbol: symbol.clone(), name: name.clone(), slug: slug.clone() }
    }
}

/// A complete report of a provider, as it is stored.
#[derive(Clone, Debug, PartialEq)]
pub struct Snapshot {
    /// Grows with time.
    pub id: SnapshotId,
    pub provider: String,
    pub currency: String,
    pub as_of: DateTime<Utc>,
    /// When the sync fetched it.
    pub fetched_at: DateTime<Utc>,
    /// Those in the list by rank, then those outside of it that users follow.
    pub coins: Vec<Coin>,
    /// How many coins are in the list.
    pub listed: usize,
    /// The newest points of each coin's history in five-minute steps, the oldest first.
    pub recent: HashMap<CoinId, Vec<Point>>,
    /// The last price of each of the last 168 hours that has one, the oldest first.
    pub sparklines: HashMap<CoinId, Vec<f64>>,
}

impl Snapshot {
    /// Returns the coins in the list, by rank.
    pub fn list(&self) -> &[Coin] {
        self.coins.get(..self.listed).unwrap_or(&self.coins)
    }

    /// Returns a coin with its sparkline.
    pub fn with_sparkline(&self, coin: &Coin) -> Coin {
        Coin { sparkline_7d: Some(self.sparklines.get(&coin.id).cloned()), ..coin.clone() }
    }
}

/// The exchange rate between a snapshot's currency and another one.
#[derive(Clone, Debug, PartialEq, Queryable, Selectable)]
#[diesel(table_name = snapshot_rates)]
pub struct Rate {
    pub currency: String,
    /// Units of `currency` for one of the snapshot's.
    #[diesel(column_name = rate)]
    pub units: f64,
    /// Change of the rate, in percent; None while our own history is shorter.
    pub percent_change_1h: Option<f64>,
    pub percent_change_24h: Option<f64>,
    pub percent_change_7d: Option<f64>,
    /// None if the provider does not state it: our own history of rates is shorter.
    pub percent_change_30d: Option<f64>,
}

/// A complete report of a provider, as it was fetched.
#[derive(Clone, Debug, PartialEq)]
pub struct Report {
    pub currency: String,
    pub as_of: DateTime<Utc>,
    pub entries: Vec<Entry>,
}

/// A coin in a report of a provider. The store decides which of our coins it is.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    pub provider_coin_id: String,
    pub symbol: String,
    pub name: String,
    pub slug: String,
    pub rank: i32,
    /// False for a coin outside of the list, which was read because users follow it.
    pub is_listed: bool,
    pub profile: Profile,
    pub numbers: Numbers,
    /// When the provider last updated the price.
    pub updated_at: Option<DateTime<Utc>>,
}

/// A report and the rates of the other currencies, to be published together.
#[derive(Clone, Debug)]
pub struct Market {
    /// The provider's name.
    pub provider: &'static str,
    /// The namespace of the ids that it reports.
    pub id_namespace: &'static str,
    pub report: Report,
    pub rates: Vec<ReadRate>,
}

/// A rate as it was fetched.
#[derive(Clone, Debug, PartialEq)]
pub struct ReadRate {
    pub currency: String,
    pub units: f64,
    pub changes: RateChanges,
    pub at: DateTime<Utc>,
}

/// How a rate has changed, in percent; None if it is not known.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct RateChanges {
    pub hour: Option<f64>,
    pub day: Option<f64>,
    pub week: Option<f64>,
    pub month: Option<f64>,
}
