-- Loses: Accounts that are deleted but can still be restored are gone for good, with their sessions, alerts and watch lists.
-- Loses: Accounts of invited people, who have not chosen a password yet, are gone; their invitations no longer work.
-- Loses: Disabled accounts can log in again: why and since when they are disabled is forgotten.
-- A deleted account has given its address away, so it cannot come back.
DELETE FROM users WHERE deleted_at IS NOT NULL;
-- An invited person has no password.
DELETE FROM users WHERE password_hash = '!';
DELETE FROM challenges WHERE purpose IN ('accept-invitation', 'restore-account');
ALTER TABLE challenges
    DROP CONSTRAINT challenges_purpose_check,
    ADD CONSTRAINT challenges_purpose_check CHECK (purpose IN
        ('confirm-email', 'reset-password', 'change-password', 'change-email', 'undo-email-change', 'unlock-login'));
DROP INDEX users_last_seen_idx, users_unconfirmed_idx, users_invited_idx, users_purge_at_idx, users_deleted_idx,
    users_disabled_idx;
ALTER TABLE users
    DROP CONSTRAINT users_disabled_check,
    DROP CONSTRAINT users_deleted_check,
    DROP CONSTRAINT users_username_check,
    ADD CONSTRAINT users_username_check CHECK ((username IS NULL) = (username_canonical IS NULL)),
    DROP COLUMN last_login_address,
    DROP COLUMN last_login_at,
    DROP COLUMN current_login_address,
    DROP COLUMN current_login_at,
    DROP COLUMN login_count,
    DROP COLUMN purge_at,
    DROP COLUMN deleted_at,
    DROP COLUMN disabled_reason,
    DROP COLUMN disabled_at;

COMMENT ON COLUMN users.email_canonical IS 'The address trimmed, in NFKC and lower case, with the domain in IDNA A-labels; unique.';
COMMENT ON COLUMN users.username_canonical IS 'The username in lower case; unique.';
COMMENT ON COLUMN users.password_hash IS 'bcrypt of base64(HMAC-SHA-256(password)).';
