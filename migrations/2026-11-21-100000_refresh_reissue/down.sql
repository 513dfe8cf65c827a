ALTER TABLE refresh_tokens DROP COLUMN reissues;

COMMENT ON COLUMN sessions.user_agent IS 'User-Agent of the log-in or the last refresh, cut at 256 characters.';
COMMENT ON COLUMN sessions.address IS 'Client address of the log-in or the last refresh.';
