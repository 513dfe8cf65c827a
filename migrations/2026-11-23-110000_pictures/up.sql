ALTER TABLE users
    ADD COLUMN avatar_hash text,
    ADD CONSTRAINT users_avatar_hash_check CHECK (avatar_hash ~ '^[0-9a-f]{64}$');

CREATE INDEX users_avatar_hash_idx ON users (avatar_hash) WHERE avatar_hash IS NOT NULL;

COMMENT ON COLUMN users.avatar_hash IS 'SHA-256 of a random number and the stored picture, in hexadecimal: unique for each upload, and the name of its files in the object storage. Null without a picture.';
