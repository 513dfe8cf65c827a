-- Loses: Links and codes in mails about stopped log-ins, and those of challenges with six or more wrong codes.
COMMENT ON COLUMN challenges.tries IS 'Wrong codes that were tried; after five, none is right any more.';

DELETE FROM challenges WHERE purpose = 'unlock-login' OR tries > 5;
ALTER TABLE challenges
    DROP CONSTRAINT challenges_purpose_check,
    ADD CONSTRAINT challenges_purpose_check CHECK (purpose IN
        ('confirm-email', 'reset-password', 'change-password', 'change-email', 'undo-email-change')),
    DROP CONSTRAINT challenges_tries_check,
    ADD CONSTRAINT challenges_tries_check CHECK (tries BETWEEN 0 AND 5);

DROP TABLE login_networks;
DROP TABLE budgets;
