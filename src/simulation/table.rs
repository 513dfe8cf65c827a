//! Lists the simulated coins: invented prices around those of the demonstration data, with its ids and names.

/// A coin, with what its prices vary around.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Template {
    /// Its id at CoinMarketCap, so that it stays the same coin when real data comes.
    pub id: &'static str,
    pub symbol: &'static str,
    pub name: &'static str,
    pub slug: &'static str,
    /// In US dollars.
    pub price: f64,
    pub supply: f64,
    /// The part of the market capitalisation that is traded in a day.
    pub turnover: f64,
    pub kind: Kind,
    /// English posts in an ordinary hour.
    pub posts_per_hour: f64,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Kind {
    /// Follows the whole market by a factor, and has a yearly volatility of its own.
    Floating { follows: f64, own: f64 },
    /// Worth a dollar.
    Stable,
}

/// The scenario `coin-leaves` is about this coin.
pub const LEAVING: &str = "dogecoin";

const fn coin(
    (id, symbol, name, slug): (&'static str, &'static str, &'static str, &'static str),
    (price, supply, turnover): (f64, f64, f64),
    kind: Kind,
    posts_per_hour: f64,
) -> Template {
    Template { id, symbol, name, slug, price, supply, turnover, kind, posts_per_hour }
}

const fn floating(follows: f64, own: f64) -> Kind {
    Kind::Floating { follows, own }
}

pub static COINS: [Template; 20] = [
    coin(("1", "BTC", "Bitcoin", "bitcoin"), (91_977.0, 19_951_234.0, 0.04), floating(1.0, 0.12), 24.0),
    coin(("1027", "ETH", "Ethereum", "ethereum"), (3158.5, 120_690_112.4, 0.056), floating(1.2, 0.3), 14.0),
    coin(("825", "USDT", "Tether USDt", "tether"), (1.0, 183_901_245_012.1, 0.45), Kind::Stable, 4.0),
    coin(("1839", "BNB", "BNB", "bnb"), (918.6, 137_734_120.9, 0.018), floating(0.9, 0.35), 4.0),
    coin(("52", "XRP", "XRP", "xrp"), (2.126, 60_331_551_020.0, 0.049), floating(1.1, 0.5), 10.0),
    coin(("5426", "SOL", "Solana", "solana"), (141.3, 553_201_944.1, 0.07), floating(1.3, 0.5), 11.0),
    coin(("3408", "USDC", "USDC", "usd-coin"), (1.0, 74_301_221_002.0, 0.17), Kind::Stable, 3.0),
    coin(("1958", "TRX", "TRON", "tron"), (0.29, 94_671_002_311.0, 0.037), floating(0.6, 0.35), 3.0),
    coin(("74", "DOGE", "Dogecoin", LEAVING), (0.1559, 151_882_110_384.0, 0.073), floating(1.3, 0.6), 9.0),
    coin(("2010", "ADA", "Cardano", "cardano"), (0.4639, 35_842_110_204.0, 0.06), floating(1.2, 0.5), 5.0),
    coin(
        ("32196", "HYPE", "Hyperliquid", "hyperliquid"),
        (31.58, 333_928_180.0, 0.03),
        floating(1.2, 0.7),
        4.0,
    ),
    coin(
        ("1831", "BCH", "Bitcoin Cash", "bitcoin-cash"),
        (508.5, 19_960_112.0, 0.04),
        floating(1.0, 0.45),
        2.0,
    ),
    coin(("1975", "LINK", "Chainlink", "chainlink"), (14.16, 696_849_970.0, 0.045), floating(1.2, 0.5), 4.0),
    coin(
        ("3957", "LEO", "UNUS SED LEO", "unus-sed-leo"),
        (9.2, 922_081_113.0, 0.001),
        floating(0.6, 0.4),
        1.0,
    ),
    coin(("512", "XLM", "Stellar", "stellar"), (0.2492, 32_212_011_233.0, 0.03), floating(1.1, 0.5), 3.0),
    coin(("328", "XMR", "Monero", "monero"), (348.6, 18_446_744.0, 0.02), floating(0.8, 0.5), 3.0),
    coin(("2", "LTC", "Litecoin", "litecoin"), (95.5, 76_502_110.0, 0.06), floating(1.0, 0.4), 3.0),
    coin(("5805", "AVAX", "Avalanche", "avalanche"), (14.67, 426_584_745.0, 0.05), floating(1.3, 0.5), 3.0),
    coin(("4642", "HBAR", "Hedera", "hedera"), (0.1429, 42_476_120_394.0, 0.04), floating(1.2, 0.6), 3.0),
    coin(
        ("5994", "SHIB", "Shiba Inu", "shiba-inu"),
        (8.66e-6, 589_246_412_003_212.0, 0.03),
        floating(1.2, 0.6),
        4.0,
    ),
];

/// A second coin with bitcoin's symbol, for the scenario `ambiguous`. No provider has this id.
pub static NAMESAKE: Template = coin(
    ("simulated-1", "BTC", "Batcoin", "simulated-batcoin"),
    (1.31, 21_000_000_000.0, 0.01),
    floating(1.0, 0.6),
    1.0,
);

/// Currencies with their units for a US dollar: also invented, of the right order of magnitude.
pub static CURRENCIES: [(&str, f64); 25] = [
    ("AUD", 1.527),
    ("BRL", 5.496),
    ("CAD", 1.374),
    ("CHF", 0.84),
    ("CNY", 7.252),
    ("CZK", 21.37),
    ("DKK", 6.565),
    ("EUR", 0.878),
    ("GBP", 0.7634),
    ("HKD", 7.863),
    ("HUF", 343.5),
    ("ILS", 3.359),
    ("INR", 87.79),
    ("JPY", 152.7),
    ("KRW", 1412.0),
    ("MXN", 18.7),
    ("NOK", 10.23),
    ("NZD", 1.756),
    ("PLN", 3.74),
    ("SEK", 9.618),
    ("SGD", 1.298),
    ("THB", 32.82),
    ("TRY", 41.98),
    ("USD", 1.0),
    ("ZAR", 17.56),
];
