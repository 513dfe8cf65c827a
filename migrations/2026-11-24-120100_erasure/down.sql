-- Loses: Passwords that were imported as hashes of another system: these accounts have no password then, and their owners need a password reset.
-- Without a password, like an invited person: a server of that version cannot read these hashes.
UPDATE users SET password_hash = '!' WHERE password_hash LIKE 'foreign:%';
COMMENT ON COLUMN users.password_hash IS 'bcrypt of base64(HMAC-SHA-256(password)); ! until an invited person has chosen a password.';
DROP INDEX security_events_purged_idx;
