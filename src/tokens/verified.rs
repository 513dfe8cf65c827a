//! Remembers access tokens whose signature was verified.
//!
//! Verifying an Ed25519 signature costs more than all the rest of a request. An accepted token is found again by a
//! keyed 128-bit hash (SipHash) of all its bytes; without the key, collisions cannot be made. Only the signature check
//! is saved: times and the blocklist are checked on each request, and a change of the key ring invalidates every entry.

use std::hash::Hasher;

use parking_lot::{Mutex, MutexGuard};
use siphasher::sip128::{Hasher128, SipHasher13};
use uuid::Uuid;

use super::{claims::AccessToken, generations::Generations};

const SHARDS: usize = 16;
/// Maximum number of remembered tokens, about 10 MB.
const CAPACITY: usize = 65_536;
const GENERATION: usize = CAPACITY / SHARDS / 2;

/// A verified token.
#[derive(Clone, Debug)]
pub struct VerifiedToken {
    pub token: AccessToken,
    pub issued_at: i64,
    pub expires_at: i64,
    /// The version of the key ring that verified its signature.
    pub ring: u64,
}

struct Shard {
    tokens: Generations<u128, VerifiedToken>,
    /// How often a token was found, and how often a new one was added.
    found: u64,
    added: u64,
}

impl Default for Shard {
    fn default() -> Self {
        Self { tokens: Generations::new(GENERATION), found: 0, added: 0 }
    }
}

pub struct VerifiedTokens {
    key: (u64, u64),
    shards: [Mutex<Shard>; SHARDS],
}

impl Default for VerifiedTokens {
    fn default() -> Self {
        Self { key: Uuid::new_v4().as_u64_pair(), shards: Default::default() }
    }
}

impl VerifiedTokens {
    /// Returns the key of a token in this cache.
    pub fn key(&self, token: &str) -> u128 {
        let mut hasher = SipHasher13::new_with_keys(self.key.0, self.key.1);
        hasher.write(token.as_bytes());
        hasher.finish128().as_u128()
    }

    pub fn get(&self, key: u128) -> Option<VerifiedToken> {
        let mut shard = self.shard(key);
        let found = shard.tokens.get(key)?;
        shard.found += 1;
        Some(found)
    }

    pub fn insert(&self, key: u128, verified: VerifiedToken) {
        let mut shard = self.shard(key);
        shard.added += 1;
        shard.tokens.insert(key, verified);
    }

    /// Returns how often a token was found, and how often a new one was added.
    pub fn counts(&self) -> (u64, u64) {
        let shards = self.shards.iter().map(|shard| shard.lock());
        shards.fold((0, 0), |(found, added), shard| (found + shard.found, added + shard.added))
    }

    fn shard(&self, key: u128) -> MutexGuard<'_, Shard> {
        let number = usize::from(key.to_le_bytes()[0]) % SHARDS;
        self.shards[number].lock()
    }
}

#[cfg(test)]
mod tests {
    use super::{super::role::Role, *};
    use crate::db::{SessionId, UserId};

    fn verified() -> VerifiedToken {
        let (sub, sid, jti) = (Uuid::now_v7(), Uuid::now_v7(), Uuid::now_v7());
        let token =
            AccessToken { sub: UserId(sub), sid: SessionId(sid), jti, role: Role::User, generation: 0 };
        VerifiedToken { token, issued_at: 0, expires_at: 0, ring: 0 }
    }

    #[test]
    fn the_cache_stays_within_its_capacity_and_keeps_used_tokens() {
        let cache = VerifiedTokens::default();
        let favourite = cache.key("favourite");
        cache.insert(favourite, verified());
        for n in 0..CAPACITY * 2 {
            cache.insert(cache.key(&n.to_string()), verified());
            assert!(cache.get(favourite).is_some(), "after {n}");
        }
        let size = |shard: &Mutex<Shard>| shard.lock().tokens.len();
        assert!(cache.shards.iter().map(size).sum::<usize>() <= CAPACITY);
        assert!(cache.get(cache.key("0")).is_none());
    }
}
