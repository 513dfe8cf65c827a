//! Keeps the API keys that were verified lately in memory, so that a request with one costs no query.
//!
//! A key that is not here is read from the database. When it is revoked, changed or deleted, a trigger notifies every
//! server, which forgets it; like the blocklist this takes well under a second, and the server that revokes it forgets it
//! at once. A key that is being read while it is revoked is not added: the version of its shard has changed then.

use base64::{Engine, prelude::BASE64_STANDARD};
use diesel::{PgConnection, QueryResult};
use parking_lot::{Mutex, MutexGuard};

use super::{
    super::generations::Generations,
    secret::Digest,
    store::{RevokedKeys, VerifiedKey},
    usage::KeyUses,
};
use crate::db::{Change, Follow};

/// Also in the migration that creates the trigger.
const CHANNEL: &str = "mintage_api_keys";
const SHARDS: usize = 16;
/// Maximum number of remembered keys, about 10 MB.
const CAPACITY: usize = 65_536;
const GENERATION: usize = CAPACITY / SHARDS / 2;

struct Shard {
    keys: Generations<Digest, VerifiedKey>,
    /// Changes with each key that is forgotten because it has changed.
    version: u64,
}

impl Default for Shard {
    fn default() -> Self {
        Self { keys: Generations::new(GENERATION), version: 0 }
    }
}

/// The state of the memory before a key is read from the database.
#[derive(Clone, Copy, Debug)]
pub struct Before(u64);

pub struct ApiKeys {
    /// Requests with one key in a minute.
    pub rate: u32,
    pub uses: KeyUses,
    shards: [Mutex<Shard>; SHARDS],
}

impl ApiKeys {
    pub fn new(rate: u32) -> Self {
        Self { rate, uses: KeyUses::default(), shards: Default::default() }
    }

    /// Returns the key with this hash, or what [`ApiKeys::insert`] needs once it is read from the database.
    pub fn get(&self, digest: &Digest) -> Result<VerifiedKey, Before> {
        let mut shard = self.shard(digest);
        shard.keys.get(*digest).ok_or(Before(shard.version))
    }

    /// Adds a key that was read from the database, unless keys have changed since.
    pub fn insert(&self, digest: &Digest, key: VerifiedKey, before: Before) {
        let mut shard = self.shard(digest);
        if shard.version == before.0 {
            shard.keys.insert(*digest, key);
        }
    }

    /// Makes this server refuse the keys, from the next request on. Returns their number.
    pub fn forget(&self, revoked: &RevokedKeys) -> usize {
        for digest in &revoked.0 {
            self.forget_one(digest);
        }
        revoked.0.len()
    }

    fn forget_one(&self, digest: &Digest) {
        let mut shard = self.shard(digest);
        shard.version += 1;
        shard.keys.remove(digest);
    }

    fn forget_all(&self) {
        for shard in &self.shards {
            let mut shard = shard.lock();
            shard.version += 1;
            shard.keys.clear();
        }
    }

    fn shard(&self, digest: &Digest) -> MutexGuard<'_, Shard> {
        self.shards[usize::from(digest[0]) % SHARDS].lock()
    }
}

impl Follow for ApiKeys {
    fn channel(&self) -> &'static str {
        CHANNEL
    }

    /// Forgets everything: notifications may have been lost. The blocklist, which is confirmed on the same connection
    /// after this, decides how long keys are accepted without one.
    fn load(&self, _: &mut PgConnection) -> QueryResult<Change<'_>> {
        Ok(Box::new(|| self.forget_all()))
    }

    fn notified(&self, _: &mut PgConnection, payload: &str) -> QueryResult<Change<'_>> {
        let digest = BASE64_STANDARD.decode(payload).ok().and_then(|bytes| Digest::try_from(bytes).ok());
        Ok(Box::new(move || {
            if let Some(digest) = &digest {
                self.forget_one(digest);
            } else {
                tracing::warn!("unreadable notification about an API key");
                self.forget_all();
            }
        }))
    }
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;
    use uuid::Uuid;

    use super::{super::scope::Scopes, *};
    use crate::db::{ApiKeyId, UserId};

    fn key() -> VerifiedKey {
        let (id, user) = (ApiKeyId(Uuid::now_v7()), UserId(Uuid::now_v7()));
        VerifiedKey {
            id,
            user,
            scopes: Scopes::default(),
            created_at: DateTime::UNIX_EPOCH,
            expires_at: None,
        }
    }

    #[test]
    fn a_key_that_is_read_while_it_is_revoked_is_not_remembered() {
        let (keys, digest) = (ApiKeys::new(1), [7; 32]);
        let before = keys.get(&digest).expect_err("unknown");
        keys.forget(&RevokedKeys(vec![digest]));
        keys.insert(&digest, key(), before);
        let before = keys.get(&digest).expect_err("it was revoked");
        keys.forget_all();
        keys.insert(&digest, key(), before);
        let before = keys.get(&digest).expect_err("another connection may have missed it");
        keys.insert(&digest, key(), before);
        assert!(keys.get(&digest).is_ok());
        keys.forget(&RevokedKeys(vec![digest]));
        assert!(keys.get(&digest).is_err());
    }

    #[test]
    fn the_memory_is_bounded() {
        let keys = ApiKeys::new(1);
        for n in 0..CAPACITY as u64 * 2 {
            let mut digest = [0; 32];
            digest[..8].copy_from_slice(&n.to_le_bytes());
            let before = keys.get(&digest).expect_err("unknown");
            keys.insert(&digest, key(), before);
        }
        assert!(keys.shards.iter().map(|shard| shard.lock().keys.len()).sum::<usize>() <= CAPACITY);
    }
}
