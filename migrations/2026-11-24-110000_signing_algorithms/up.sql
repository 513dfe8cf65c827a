ALTER TABLE signing_keys
    ADD COLUMN algorithm text NOT NULL DEFAULT 'EdDSA',
    ADD COLUMN promoted_at timestamptz,
    ADD CONSTRAINT signing_keys_algorithm_check CHECK (algorithm IN ('EdDSA', 'ES256', 'RS256'));

COMMENT ON TABLE signing_keys IS 'The signing keys: one next, one current, any number of retired ones.';
COMMENT ON COLUMN signing_keys.algorithm IS 'The only algorithm that the key signs and verifies access tokens with.';
COMMENT ON COLUMN signing_keys.promoted_at IS 'When the key began to sign; null for a next key, and for keys of earlier versions.';
