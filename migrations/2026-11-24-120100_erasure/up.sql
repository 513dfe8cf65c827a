-- Purged accounts whose events still have to be erased: few at any time.
CREATE INDEX security_events_purged_idx ON security_events (id) WHERE kind = 'user-purged' AND erased_at IS NULL;

COMMENT ON COLUMN users.password_hash IS 'bcrypt of base64(HMAC-SHA-256(password)); foreign:<hash> of an imported account until its first log-in; ! until an invited person has chosen a password.';
