use std::time::Duration;

use super::{
    Profile,
    env::{Env, Secret},
};

/// Which PostgreSQL, and how it is used.
#[derive(Clone, Debug)]
pub struct Database {
    /// None: the embedded cluster in the data directory.
    pub url: Option<Secret>,
    pub pool_size: u32,
    pub auto_migrate: bool,
    /// How long a start waits for a database that does not answer.
    pub connect_wait: Duration,
}

impl Database {
    pub(super) fn read(env: &mut Env, profile: Profile) -> Self {
        let url = env.secret("DATABASE_URL");
        let embedded = env.switch("EMBEDDED_DATABASE", profile == Profile::Development);
        if url.is_none() && !embedded {
            env.wrong(
                "DATABASE_URL",
                "a PostgreSQL URL (or set EMBEDDED_DATABASE=on to run a private cluster in DATA_DIR)",
            );
        }
        Self {
            url,
            pool_size: env.number("DATABASE_POOL_SIZE", 10, 1..=500),
            auto_migrate: env.switch("AUTO_MIGRATE", true),
            connect_wait: env.duration(
                "DATABASE_CONNECT_WAIT",
                Duration::from_secs(30),
                Duration::ZERO..=Duration::from_mins(10),
            ),
        }
    }
}
