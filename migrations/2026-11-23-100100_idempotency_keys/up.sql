CREATE TABLE idempotency_keys (
    key bytea NOT NULL,
    fingerprint bytea NOT NULL,
    response bytea NOT NULL,
    created_at timestamptz NOT NULL,
    CONSTRAINT idempotency_keys_pkey PRIMARY KEY (key)
);
CREATE INDEX idempotency_keys_created_at_idx ON idempotency_keys (created_at);

COMMENT ON TABLE idempotency_keys IS 'Responses to POST requests with an Idempotency-Key, which are repeated for 24 hours.';
COMMENT ON COLUMN idempotency_keys.key IS 'SHA-256 of the user, the method, the path and the key.';
COMMENT ON COLUMN idempotency_keys.fingerprint IS 'SHA-256 of the body: another body under the same key is refused.';
COMMENT ON COLUMN idempotency_keys.response IS 'Status, headers and body as JSON, encrypted with a key derived from SECRET_KEY, since the body may contain a secret.';
COMMENT ON COLUMN idempotency_keys.created_at IS 'When the request was answered.';
