//! Defines the body: figures of the whole market in one currency, each null with its reason.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};
use serde::Serialize;
use utoipa::ToSchema;

use super::{reason::GlobalReason, sentiment::GlobalSentiment};
use crate::{
    config::Coins,
    market::{self, Classification, FearAndGreed, Global, GlobalFigures, Snapshot, Sourced},
};

/// Three readings were missed.
const STALE_AFTER: TimeDelta = TimeDelta::hours(3);
const SIMULATED_STALE_AFTER: TimeDelta = TimeDelta::minutes(3);
/// An index that is renewed daily says nothing of now after two days.
const MAX_AGE_OF_INDEX: TimeDelta = TimeDelta::hours(48);

/// Figures of the whole market.
#[derive(Serialize, ToSchema)]
pub struct GlobalMarket {
    /// ISO 4217 code of the amounts.
    #[schema(example = "GBP")]
    currency: String,
    /// Market capitalisation of all coins of the world, in `currency`.
    #[schema(example = 2_512_345_678_901.0)]
    market_cap: Option<f64>,
    /// Amount that was traded of all coins in the last 24 hours, in `currency`.
    #[schema(example = 98_765_432_109.0)]
    volume_24h: Option<f64>,
    /// Change of the market capitalisation within 24 hours, in percent, of amounts in `market_cap_change_currency`.
    #[schema(example = -1.2345)]
    market_cap_change_24h: Option<f64>,
    /// ISO 4217 code of the amounts that `market_cap_change_24h` compares, which providers state in one currency only.
    #[schema(example = "USD")]
    market_cap_change_currency: Option<String>,
    /// Number of coins that the provider counts as active.
    #[schema(example = 17_312)]
    active_coins: Option<i64>,
    /// Shares of coins in the market capitalisation of all, in percent, by ticker symbol: as many as the provider states.
    #[schema(example = json!({"BTC": 58.1, "ETH": 11.9}))]
    dominance: Option<BTreeMap<String, f64>>,
    /// When these figures were current, according to the provider; null without any.
    as_of: Option<DateTime<Utc>>,
    /// The provider of these figures; `simulation` is invented. Null without any.
    #[schema(example = "coingecko")]
    source: Option<String>,
    /// Show this text beside these figures: the provider's terms require it. Null without any.
    #[schema(example = "Data provided by CoinGecko (https://www.coingecko.com)")]
    attribution: Option<&'static str>,
    /// Whether these figures are more than three hours old (simulated ones: three minutes).
    #[schema(example = false)]
    stale: bool,
    /// Whether all of it is invented: true while the market is simulated, or as long as there is only demonstration data.
    #[schema(example = false)]
    simulated: bool,
    sentiment: Option<GlobalSentiment>,
    fear_and_greed: Option<FearAndGreedIndex>,
    missing: GlobalMissing,
}

/// An index of the mood of the market that another service computes, once a day.
#[derive(Serialize, ToSchema)]
pub struct FearAndGreedIndex {
    /// From 0 (extreme fear) to 100 (extreme greed).
    #[schema(example = 39, minimum = 0, maximum = 100)]
    value: u8,
    classification: Classification,
    /// The time of the value. At most 48 hours ago: an older one is not shown.
    at: DateTime<Utc>,
    /// `alternative.me`; `simulation` is invented.
    #[schema(example = "alternative.me")]
    source: String,
    /// Show this text right beside the value: the terms of the service require it. Null for `simulation`.
    #[schema(
        example = "Crypto Fear & Greed Index by Alternative.me (https://alternative.me/crypto/fear-and-greed-index/)"
    )]
    attribution: Option<&'static str>,
}

/// Reasons for what is null; a figure that is known has none.
#[derive(Default, Serialize, ToSchema)]
pub struct GlobalMissing {
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = GlobalReason, required = false)]
    market_cap: Option<GlobalReason>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = GlobalReason, required = false)]
    volume_24h: Option<GlobalReason>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = GlobalReason, required = false)]
    market_cap_change_24h: Option<GlobalReason>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = GlobalReason, required = false)]
    active_coins: Option<GlobalReason>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = GlobalReason, required = false)]
    dominance: Option<GlobalReason>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = GlobalReason, required = false)]
    sentiment: Option<GlobalReason>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = GlobalReason, required = false)]
    fear_and_greed: Option<GlobalReason>,
}

impl GlobalMarket {
    pub fn new(
        currency: String,
        snapshot: &Snapshot,
        global: &Global,
        settings: &Coins,
        now: DateTime<Utc>,
    ) -> Self {
        let simulated = market::is_invented(&snapshot.provider);
        let missing = GlobalMissing::default();
        let mut body = Self {
            currency,
            market_cap: None,
            volume_24h: None,
            market_cap_change_24h: None,
            market_cap_change_currency: None,
            active_coins: None,
            dominance: None,
            as_of: None,
            source: None,
            attribution: None,
            stale: false,
            simulated,
            sentiment: None,
            fear_and_greed: None,
            missing,
        };
        let why_unread =
            if market::wants_real(settings) { GlobalReason::NotRead } else { GlobalReason::NoProvider };
        match of_this_market(global.market.as_ref(), settings.global, simulated) {
            Ok(Some(found)) => body.add_figures(found, global, now),
            Ok(None) => body.missing.of_market(why_unread),
            Err(reason) => body.missing.of_market(reason),
        }
        let index =
            of_this_market(global.fear_and_greed.as_ref(), settings.fear_and_greed_url.is_some(), simulated);
        let index = index.and_then(|found| FearAndGreedIndex::new(found.ok_or(why_unread)?, now));
        (body.fear_and_greed, body.missing.fear_and_greed) = split(index);
        (body.sentiment, body.missing.sentiment) = split(GlobalSentiment::of(&snapshot.coins));
        body
    }

    fn add_figures(&mut self, found: &Sourced<GlobalFigures>, global: &Global, now: DateTime<Utc>) {
        let Sourced { source, as_of, figures } = found;
        let amount = |amounts: &BTreeMap<String, f64>| {
            let why = if amounts.is_empty() { GlobalReason::NotStated } else { GlobalReason::NoRate };
            global.amount(amounts, &self.currency).ok_or(why)
        };
        let (market_cap, volume) = (amount(&figures.market_cap), amount(&figures.volume_24h));
        (self.market_cap, self.missing.market_cap) = split(market_cap);
        (self.volume_24h, self.missing.volume_24h) = split(volume);
        let change = figures.market_cap_change_24h.as_ref();
        self.market_cap_change_currency = change.map(|change| change.currency.clone());
        let change = change.map(|change| change.percent).ok_or(GlobalReason::NotStated);
        (self.market_cap_change_24h, self.missing.market_cap_change_24h) = split(change);
        (self.active_coins, self.missing.active_coins) =
            split(figures.active_coins.ok_or(GlobalReason::NotStated));
        let shares = Some(&figures.dominance).filter(|shares| !shares.is_empty()).cloned();
        (self.dominance, self.missing.dominance) = split(shares.ok_or(GlobalReason::NotStated));
        let stale_after = if self.simulated { SIMULATED_STALE_AFTER } else { STALE_AFTER };
        self.stale = now - *as_of > stale_after;
        self.as_of = Some(*as_of);
        self.attribution = market::attribution(source);
        self.source = Some(source.clone());
    }
}

/// Returns what is stored, unless it is turned off. Figures of a real market are never shown with an invented one, nor the
/// other way round.
fn of_this_market<T>(
    stored: Option<&Sourced<T>>,
    is_on: bool,
    simulated: bool,
) -> Result<Option<&Sourced<T>>, GlobalReason> {
    if !is_on {
        return Err(GlobalReason::TurnedOff);
    }
    Ok(stored.filter(|found| market::is_invented(&found.source) == simulated))
}

fn split<T>(found: Result<T, GlobalReason>) -> (Option<T>, Option<GlobalReason>) {
    match found {
        Ok(found) => (Some(found), None),
        Err(reason) => (None, Some(reason)),
    }
}

impl FearAndGreedIndex {
    fn new(found: &Sourced<FearAndGreed>, now: DateTime<Utc>) -> Result<Self, GlobalReason> {
        let Sourced { source, as_of, figures } = found;
        if now - *as_of > MAX_AGE_OF_INDEX {
            return Err(GlobalReason::TooOld);
        }
        let is_theirs = source == market::FEAR_AND_GREED;
        Ok(Self {
            value: figures.value,
            classification: figures.classification,
            at: *as_of,
            source: source.clone(),
            attribution: is_theirs.then_some(market::FEAR_AND_GREED_ATTRIBUTION),
        })
    }
}

impl GlobalMissing {
    /// None of the figures of the provider is known.
    fn of_market(&mut self, reason: GlobalReason) {
        let figures = [
            &mut self.market_cap,
            &mut self.volume_24h,
            &mut self.market_cap_change_24h,
            &mut self.active_coins,
            &mut self.dominance,
        ];
        for figure in figures {
            *figure = Some(reason);
        }
    }
}
