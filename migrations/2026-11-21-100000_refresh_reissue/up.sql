ALTER TABLE refresh_tokens ADD COLUMN reissues integer NOT NULL DEFAULT 0;

COMMENT ON COLUMN refresh_tokens.reissues IS '0: issued once. Else it was issued again after the grace period, and this counts how many generations in a row were, up to this one.';
COMMENT ON COLUMN sessions.user_agent IS 'User-Agent of the log-in or the last exchange of the newest refresh token, cut at 256 characters.';
COMMENT ON COLUMN sessions.address IS 'Client address of the log-in or the last exchange of the newest refresh token.';
