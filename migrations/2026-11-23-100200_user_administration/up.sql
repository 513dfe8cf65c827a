ALTER TABLE users
    ADD COLUMN disabled_at timestamptz,
    ADD COLUMN disabled_reason text,
    ADD COLUMN deleted_at timestamptz,
    ADD COLUMN purge_at timestamptz,
    ADD COLUMN login_count integer NOT NULL DEFAULT 0,
    ADD COLUMN current_login_at timestamptz,
    ADD COLUMN current_login_address inet,
    ADD COLUMN last_login_at timestamptz,
    ADD COLUMN last_login_address inet,
    DROP CONSTRAINT users_username_check,
    ADD CONSTRAINT users_username_check
        CHECK ((username_canonical IS NULL) = (username IS NULL OR deleted_at IS NOT NULL)),
    ADD CONSTRAINT users_deleted_check
        CHECK ((deleted_at IS NOT NULL) = (email_canonical = 'deleted:' || id)
            AND (deleted_at IS NULL) = (purge_at IS NULL)),
    ADD CONSTRAINT users_disabled_check CHECK (disabled_at IS NOT NULL OR disabled_reason IS NULL);

ALTER TABLE challenges
    DROP CONSTRAINT challenges_purpose_check,
    ADD CONSTRAINT challenges_purpose_check CHECK (purpose IN ('confirm-email', 'reset-password', 'change-password',
        'change-email', 'undo-email-change', 'unlock-login', 'accept-invitation',
        'restore-account'));

CREATE INDEX users_disabled_idx ON users (id) WHERE disabled_at IS NOT NULL;
CREATE INDEX users_deleted_idx ON users (id) WHERE deleted_at IS NOT NULL;
CREATE INDEX users_purge_at_idx ON users (purge_at) WHERE purge_at IS NOT NULL;
CREATE INDEX users_invited_idx ON users (id) WHERE password_hash = '!';
CREATE INDEX users_unconfirmed_idx ON users (id) WHERE email_confirmed_at IS NULL;
CREATE INDEX users_last_seen_idx ON users (coalesce(current_login_at, created_at));

COMMENT ON COLUMN users.email_canonical IS 'Trimmed, NFKC, lower case, domain in IDNA A-labels; unique. deleted:<id> for a deleted account, so that its address is free.';
COMMENT ON COLUMN users.username_canonical IS 'Lower case; unique. Null for a deleted account, so that its username is free.';
COMMENT ON COLUMN users.password_hash IS 'bcrypt of base64(HMAC-SHA-256(password)); ! until an invited person has chosen a password.';
COMMENT ON COLUMN users.disabled_at IS 'When an admin disabled the account: nobody can log in to it.';
COMMENT ON COLUMN users.disabled_reason IS 'Why, for other admins.';
COMMENT ON COLUMN users.deleted_at IS 'When the account was deleted. It can be restored until purge_at.';
COMMENT ON COLUMN users.purge_at IS 'When the account and everything in it is deleted for good.';
COMMENT ON COLUMN users.login_count IS 'The number of log-ins.';
COMMENT ON COLUMN users.current_login_at IS 'The newest log-in.';
COMMENT ON COLUMN users.current_login_address IS 'The client''s address of the newest log-in.';
COMMENT ON COLUMN users.last_login_at IS 'The log-in before the newest one.';
COMMENT ON COLUMN users.last_login_address IS 'The client''s address of that log-in.';
