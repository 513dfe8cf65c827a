//! Settings of the log.

use super::{Profile, env::Env};

/// Format and level of the log.
#[derive(Clone, Debug)]
pub struct Log {
    pub format: LogFormat,
    /// A level, or directives of `tracing` such as `info,mintage::coins=debug`.
    pub level: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    Text,
    Json,
}

impl Log {
    pub(super) fn read(env: &mut Env, profile: Profile) -> Self {
        let default = match profile {
            Profile::Development => LogFormat::Text,
            Profile::Production => LogFormat::Json,
        };
        let formats = [("text", LogFormat::Text), ("json", LogFormat::Json)];
        let level = env.text("LOG_LEVEL").unwrap_or_else(|| "info".into());
        if tracing_subscriber::EnvFilter::try_new(&level).is_err() {
            env.wrong("LOG_LEVEL", "error, warn, info, debug, trace or tracing directives");
        }
        Self { format: env.choice("LOG_FORMAT", default, &formats), level }
    }
}
