//! Names the reasons for which a figure of the whole market is null.

use serde::Serialize;
use utoipa::ToSchema;

/// Why a figure is null.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum GlobalReason {
    /// A setting of the server turns it off.
    TurnedOff,
    /// Only the demonstration is configured, which knows nothing of the world.
    NoProvider,
    /// It was not read yet, or no provider has answered.
    NotRead,
    /// The provider does not state it, or states a number that is impossible.
    NotStated,
    /// The provider states it in another currency, to which there is no exchange rate.
    NoRate,
    /// The last value is more than 48 hours old.
    TooOld,
    /// There are fewer than ten independent posts.
    TooFewPosts,
    /// No source of posts was read lately.
    NotHeard,
}
