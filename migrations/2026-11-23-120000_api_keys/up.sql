CREATE TABLE api_keys (
    id uuid NOT NULL,
    user_id uuid NOT NULL,
    name text NOT NULL,
    prefix text NOT NULL,
    secret_hash bytea NOT NULL,
    scopes text NOT NULL,
    created_at timestamptz NOT NULL,
    expires_at timestamptz,
    last_used_at timestamptz,
    revoked_at timestamptz,
    CONSTRAINT api_keys_pkey PRIMARY KEY (id),
    CONSTRAINT api_keys_user_id_fkey FOREIGN KEY (user_id) REFERENCES users (id) ON DELETE CASCADE,
    CONSTRAINT api_keys_secret_hash_key UNIQUE (secret_hash),
    CONSTRAINT api_keys_secret_hash_check CHECK (octet_length(secret_hash) = 32),
    CONSTRAINT api_keys_prefix_check CHECK (char_length(prefix) = 8),
    CONSTRAINT api_keys_scopes_check CHECK (scopes ~ '^[a-z]+:[a-z]+( [a-z]+:[a-z]+)*$')
);
CREATE INDEX api_keys_user_id_idx ON api_keys (user_id, id);
CREATE INDEX api_keys_revoked_at_idx ON api_keys (revoked_at) WHERE revoked_at IS NOT NULL;
CREATE INDEX api_keys_expires_at_idx ON api_keys (expires_at) WHERE expires_at IS NOT NULL;

COMMENT ON TABLE api_keys IS 'Keys with which programs act for a user; at most 20 a user that are not revoked.';
COMMENT ON COLUMN api_keys.id IS 'UUIDv7.';
COMMENT ON COLUMN api_keys.user_id IS 'The user for whom the program acts.';
COMMENT ON COLUMN api_keys.name IS 'Chosen by the user, to tell keys apart.';
COMMENT ON COLUMN api_keys.prefix IS 'The first 8 characters of the key, to recognise it.';
COMMENT ON COLUMN api_keys.secret_hash IS 'SHA-256 of the whole key, which is random and stored nowhere.';
COMMENT ON COLUMN api_keys.scopes IS 'What the key allows, separated by spaces (RFC 6749 section 3.3).';
COMMENT ON COLUMN api_keys.created_at IS 'When the key was created.';
COMMENT ON COLUMN api_keys.expires_at IS 'When the key expires; null if it does not.';
COMMENT ON COLUMN api_keys.last_used_at IS 'The minute of the last request with the key; null if there was none.';
COMMENT ON COLUMN api_keys.revoked_at IS 'When the key was revoked, by its user or together with the account; null while it is valid.';

CREATE TABLE api_key_usage (
    key_id uuid NOT NULL,
    day date NOT NULL,
    requests bigint NOT NULL,
    CONSTRAINT api_key_usage_pkey PRIMARY KEY (key_id, day),
    CONSTRAINT api_key_usage_key_id_fkey FOREIGN KEY (key_id) REFERENCES api_keys (id) ON DELETE CASCADE,
    CONSTRAINT api_key_usage_requests_check CHECK (requests > 0)
);
CREATE INDEX api_key_usage_day_idx ON api_key_usage (day);

COMMENT ON TABLE api_key_usage IS 'The number of requests with each API key on each day; kept for 30 days.';
COMMENT ON COLUMN api_key_usage.key_id IS 'The key.';
COMMENT ON COLUMN api_key_usage.day IS 'The day in UTC.';
COMMENT ON COLUMN api_key_usage.requests IS 'The number of requests.';

-- A trigger, so that no statement can revoke a key, also by deleting its user, without telling the servers.
CREATE FUNCTION api_keys_notify() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('mintage_api_keys', encode(OLD.secret_hash, 'base64'));
    RETURN NULL;
END;
$$;
COMMENT ON FUNCTION api_keys_notify IS 'Notifies the servers of a changed API key by its hash, so that they forget it.';

CREATE TRIGGER api_keys_notify
    AFTER DELETE OR UPDATE OF user_id, secret_hash, scopes, expires_at, revoked_at ON api_keys
    FOR EACH ROW EXECUTE FUNCTION api_keys_notify();
