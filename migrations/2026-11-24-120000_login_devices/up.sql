CREATE TABLE login_devices (
    user_id uuid NOT NULL,
    network cidr NOT NULL,
    program text NOT NULL,
    last_used_at timestamptz NOT NULL,
    CONSTRAINT login_devices_pkey PRIMARY KEY (user_id, network, program),
    CONSTRAINT login_devices_user_id_fkey FOREIGN KEY (user_id) REFERENCES users (id) ON DELETE CASCADE
);
CREATE INDEX login_devices_last_used_at_idx ON login_devices (last_used_at);

COMMENT ON TABLE login_devices IS 'From where a user has logged in with which program: a log-in from elsewhere is mailed. At most 50 per user.';
COMMENT ON COLUMN login_devices.user_id IS 'Who logged in.';
COMMENT ON COLUMN login_devices.network IS 'The /24 of an IPv4 address, the /48 of an IPv6 address.';
COMMENT ON COLUMN login_devices.program IS 'Browser and operating system in words of a fixed list; empty for any, of a log-in before they were stored.';
COMMENT ON COLUMN login_devices.last_used_at IS 'The last log-in; the row is deleted after LOGIN_DEVICE_RETENTION.';

-- So that the first log-in after the upgrade is no news.
INSERT INTO login_devices (user_id, network, program, last_used_at)
    SELECT user_id, network, '', last_used_at FROM login_networks;

ALTER TABLE challenges
    ADD COLUMN session_id uuid,
    DROP CONSTRAINT challenges_purpose_check,
    ADD CONSTRAINT challenges_purpose_check CHECK (purpose IN ('confirm-email', 'reset-password', 'change-password',
        'change-email', 'undo-email-change', 'unlock-login', 'accept-invitation', 'restore-account', 'end-session')),
    ADD CONSTRAINT challenges_session_check CHECK ((session_id IS NOT NULL) = (purpose = 'end-session'));

COMMENT ON COLUMN challenges.session_id IS 'The session that the link ends, for end-session. No foreign key: the session may have ended.';
