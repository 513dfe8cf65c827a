//! Defines what access and refresh tokens say.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::role::Role;
use crate::db::{SessionId, UserId};

/// What an access token says.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct AccessToken {
    pub sub: UserId,
    pub sid: SessionId,
    pub jti: Uuid,
    pub role: Role,
    /// The refresh token that was issued with it.
    pub generation: i32,
}

/// What a refresh token says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefreshClaims {
    pub sub: UserId,
    pub sid: SessionId,
    pub jti: Uuid,
    pub generation: i32,
}
