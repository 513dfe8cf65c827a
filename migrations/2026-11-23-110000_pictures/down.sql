DROP INDEX users_avatar_hash_idx;
ALTER TABLE users DROP COLUMN avatar_hash;
