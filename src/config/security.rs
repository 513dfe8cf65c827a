//! Settings of passwords and tokens.

use std::{num::NonZero, thread, time::Duration};

use strum::VariantArray;

use super::{Profile, env::Env, server};

const MINUTE: Duration = Duration::from_mins(1);
const HOUR: Duration = Duration::from_hours(1);
const DAY: Duration = Duration::from_hours(24);

/// Password hashing.
#[derive(Clone, Debug)]
pub struct Passwords {
    /// Cost of bcrypt: 2^cost rounds.
    pub cost: u32,
    /// Number of threads for hashing.
    pub threads: usize,
    /// Hashes that may wait for a thread; further ones are refused with 503.
    pub queue: usize,
    /// Hashes that may run or wait for clients of one network.
    pub queue_per_network: usize,
    /// Address of a service of breached passwords, to which the first digits of a hash are appended.
    pub breach_url: Option<String>,
}

impl Passwords {
    pub(super) fn read(env: &mut Env, profile: Profile) -> Self {
        let cores = thread::available_parallelism().map_or(1, NonZero::get);
        let lowest = match profile {
            Profile::Development => 4,
            Profile::Production => 10,
        };
        let threads = env.number("HASH_THREADS", cores.saturating_sub(1).max(1), 1..=256);
        Self {
            cost: env.number("BCRYPT_COST", 12, lowest..=16),
            threads,
            queue: env.number("HASH_QUEUE", 64, 1..=10_000),
            queue_per_network: env.number("HASH_QUEUE_PER_NETWORK", 8.max(2 * threads), 1..=10_000),
            breach_url: server::read_url(
                env,
                profile,
                "PASSWORD_BREACH_URL",
                "an http(s) address without a query, such as https://api.pwnedpasswords.com/range",
            ),
        }
    }
}

/// The algorithm that signs access tokens (RFC 7518 section 3.1, RFC 8037).
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, strum::EnumString, strum::IntoStaticStr, strum::VariantArray,
)]
pub enum SigningAlgorithm {
    /// Ed25519.
    #[default]
    #[strum(serialize = "EdDSA")]
    EdDsa,
    #[strum(serialize = "ES256")]
    Es256,
    #[strum(serialize = "RS256")]
    Rs256,
}

impl SigningAlgorithm {
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

/// Lifetimes and names of tokens.
#[derive(Clone, Debug)]
pub struct Tokens {
    /// The `aud` claim.
    pub audience: String,
    pub algorithm: SigningAlgorithm,
    /// After this time another key signs; None: only `mintage keys rotate` and another algorithm change the key.
    pub key_rotation: Option<Duration>,
    pub access_ttl: Duration,
    /// With "remember": the lifetime of an unused refresh token. `refresh_max_ttl` is the maximum of a session.
    pub refresh_idle_ttl: Duration,
    pub refresh_max_ttl: Duration,
    /// Without "remember".
    pub short_idle_ttl: Duration,
    pub short_max_ttl: Duration,
    /// How long a used refresh token still returns its successor.
    pub refresh_grace: Duration,
    /// How long tokens are accepted while the blocklist and signing keys cannot be kept up to date.
    pub max_staleness: Duration,
    /// Requests with one API key in a minute.
    pub api_key_rate: u32,
}

impl Tokens {
    pub(super) fn read(env: &mut Env) -> Self {
        let idle = env.duration("REFRESH_IDLE_TTL", 14 * DAY, MINUTE..=365 * DAY);
        let max = env.duration("REFRESH_MAX_TTL", 90 * DAY, MINUTE..=3650 * DAY);
        let algorithms =
            SigningAlgorithm::VARIANTS.iter().map(|one| (one.as_str(), *one)).collect::<Vec<_>>();
        let rotates = env.text("JWT_KEY_ROTATION").is_none_or(|text| !text.eq_ignore_ascii_case("off"));
        Self {
            algorithm: env.choice("JWT_ALGORITHM", SigningAlgorithm::default(), &algorithms),
            key_rotation: rotates.then(|| env.duration("JWT_KEY_ROTATION", 90 * DAY, HOUR..=3650 * DAY)),
            audience: env.text("JWT_AUDIENCE").unwrap_or_else(|| "mintage".into()),
            access_ttl: env.duration("ACCESS_TOKEN_TTL", 10 * MINUTE, Duration::from_secs(1)..=DAY),
            refresh_idle_ttl: idle.min(max),
            refresh_max_ttl: max,
            short_idle_ttl: (12 * HOUR).min(idle),
            short_max_ttl: (24 * HOUR).min(max),
            refresh_grace: env.duration("REFRESH_GRACE", Duration::from_secs(10), Duration::ZERO..=MINUTE),
            max_staleness: env.duration("TOKEN_MAX_STALENESS", 5 * MINUTE, Duration::from_secs(10)..=HOUR),
            api_key_rate: env.number("API_KEY_RATE", 600, 1..=1_000_000),
        }
    }
}
