//! Defines the claims of access and refresh tokens.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::role::Role;
use crate::db::{SessionId, UserId};

/// The claims of an access token.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct AccessToken {
    pub sub: UserId,
    pub sid: SessionId,
    pub jti: Uuid,
    pub role: Role,
    /// The generation of the refresh token that was issued with it.
    pub generation: i32,
}

/// The claims of a refresh token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefreshClaims {
    pub sub: UserId,
    pub sid: SessionId,
    pub jti: Uuid,
    pub generation: i32,
}
