//! Settings of the simulated market and of its posts.

use super::env::Env;

/// Of what the simulation shows. The first is the default.
const SCENARIOS: [(&str, Scenario); 7] = [
    ("calm", Scenario::Calm),
    ("crash", Scenario::Crash),
    ("stale", Scenario::Stale),
    ("provider-change", Scenario::ProviderChange),
    ("coin-leaves", Scenario::CoinLeaves),
    ("huge-and-tiny", Scenario::HugeAndTiny),
    ("ambiguous", Scenario::Ambiguous),
];
/// Faster, an hour would pass within a second.
const MAX_SPEED: u32 = 3600;

/// The simulated market: equal settings give equal numbers, on every replica and after every start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Simulation {
    pub scenario: Scenario,
    /// How many times faster than the real time the market moves.
    pub speed: u32,
    /// Another number is another market.
    pub seed: u32,
}

/// A state of the market that a user interface has to show well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scenario {
    /// Nothing unusual.
    Calm,
    /// Within an hour every coin loses 30 to 60 percent, except for stablecoins.
    Crash,
    /// The data stops, and begins again.
    Stale,
    /// The data comes from one simulated source and from another one in turn.
    ProviderChange,
    /// A coin leaves the list and comes back, again and again.
    CoinLeaves,
    /// Very large and very small numbers, long names, missing numbers.
    HugeAndTiny,
    /// Two coins have one ticker symbol.
    Ambiguous,
}

impl Scenario {
    /// The value of the setting.
    pub fn name(self) -> &'static str {
        let of_this = |(_, scenario): &&(&'static str, Self)| *scenario == self;
        SCENARIOS.iter().find(of_this).expect("all are listed").0
    }
}

impl Simulation {
    pub(super) fn read(env: &mut Env) -> Self {
        Self {
            scenario: env.choice("SIMULATION_SCENARIO", Scenario::Calm, &SCENARIOS),
            speed: env.number("SIMULATION_SPEED", 1, 1..=MAX_SPEED),
            seed: env.number("SIMULATION_SEED", 1, 0..=u32::MAX),
        }
    }
}
