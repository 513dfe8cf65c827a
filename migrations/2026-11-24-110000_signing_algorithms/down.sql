-- Loses: If a signing key is not Ed25519, all signing keys: users have to log in again.
-- The former version reads Ed25519 keys only. Without keys it makes new ones at its start, and users log in again.
DELETE FROM signing_keys WHERE EXISTS (SELECT FROM signing_keys AS other WHERE other.algorithm <> 'EdDSA');
ALTER TABLE signing_keys
    DROP CONSTRAINT signing_keys_algorithm_check,
    DROP COLUMN promoted_at,
    DROP COLUMN algorithm;

COMMENT ON TABLE signing_keys IS 'The Ed25519 signing keys: one next, one current, any number of retired ones.';
