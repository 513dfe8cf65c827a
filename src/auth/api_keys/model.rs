//! An API key as its owner sees it.

use chrono::{DateTime, Utc};
use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    db::ApiKeyId,
    tokens::api_keys::{self, Scope, Scopes},
};

#[derive(Serialize, ToSchema)]
pub struct ApiKey {
    #[schema(value_type = Uuid)]
    id: ApiKeyId,
    #[schema(example = "Price bot")]
    name: String,
    /// The first 8 characters of the key, to recognise it.
    #[schema(example = "mtg_8fK2")]
    prefix: String,
    /// What the key allows.
    #[schema(inline)]
    scopes: Vec<Scope>,
    created_at: DateTime<Utc>,
    /// Null if the key does not expire.
    expires_at: Option<DateTime<Utc>>,
    /// The minute of the last request with the key, a few seconds late; null if there was none.
    last_used_at: Option<DateTime<Utc>>,
}

impl From<api_keys::ApiKey> for ApiKey {
    fn from(key: api_keys::ApiKey) -> Self {
        let api_keys::ApiKey { id, name, prefix, scopes, created_at, expires_at, last_used_at } = key;
        let scopes = Scopes::read(&scopes).iter().collect();
        Self { id, name, prefix, scopes, created_at, expires_at, last_used_at }
    }
}
