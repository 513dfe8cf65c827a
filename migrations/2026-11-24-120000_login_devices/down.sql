-- Loses: Links in mails about new devices that end a session, and the known devices.
DELETE FROM challenges WHERE purpose = 'end-session';
ALTER TABLE challenges
    DROP CONSTRAINT challenges_session_check,
    DROP COLUMN session_id,
    DROP CONSTRAINT challenges_purpose_check,
    ADD CONSTRAINT challenges_purpose_check CHECK (purpose IN ('confirm-email', 'reset-password', 'change-password',
        'change-email', 'undo-email-change', 'unlock-login', 'accept-invitation', 'restore-account'));
DROP TABLE login_devices;
