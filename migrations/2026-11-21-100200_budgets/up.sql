CREATE TABLE budgets (
    key bytea NOT NULL,
    free_at timestamptz NOT NULL,
    CONSTRAINT budgets_pkey PRIMARY KEY (key)
);
CREATE INDEX budgets_free_at_idx ON budgets (free_at);

COMMENT ON TABLE budgets IS 'Limits that hold over all replicas and restarts: guesses at passwords and codes, mails to an address. Metered by GCRA.';
COMMENT ON COLUMN budgets.key IS 'The first 128 bits of an HMAC of the limit and of whom it limits, under a key derived from SECRET_KEY.';
COMMENT ON COLUMN budgets.free_at IS 'When all that was spent will have been earned back; the row is removed then.';

CREATE TABLE login_networks (
    user_id uuid NOT NULL,
    network cidr NOT NULL,
    last_used_at timestamptz NOT NULL,
    CONSTRAINT login_networks_pkey PRIMARY KEY (user_id, network),
    CONSTRAINT login_networks_user_id_fkey FOREIGN KEY (user_id) REFERENCES users (id) ON DELETE CASCADE
);
CREATE INDEX login_networks_last_used_at_idx ON login_networks (last_used_at);

COMMENT ON TABLE login_networks IS 'Where a user has logged in lately. Wrong passwords that come from elsewhere do not stop a log-in from there.';
COMMENT ON COLUMN login_networks.user_id IS 'Who logged in.';
COMMENT ON COLUMN login_networks.network IS 'The /24 of the IPv4 address or the /48 of the IPv6 address.';
COMMENT ON COLUMN login_networks.last_used_at IS 'The last log-in; the row is removed after 30 days, or when the user has 20 newer ones.';

ALTER TABLE challenges
    DROP CONSTRAINT challenges_tries_check,
    ADD CONSTRAINT challenges_tries_check CHECK (tries >= 0),
    DROP CONSTRAINT challenges_purpose_check,
    ADD CONSTRAINT challenges_purpose_check CHECK (purpose IN
        ('confirm-email', 'reset-password', 'change-password', 'change-email', 'undo-email-change', 'unlock-login'));

COMMENT ON COLUMN challenges.tries IS 'Wrong codes that were tried; from a limit on that depends on the length of the code, none is right any more.';
