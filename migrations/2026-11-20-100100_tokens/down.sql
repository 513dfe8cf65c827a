DROP TABLE signing_keys;
DROP TABLE blocklist;
DROP TABLE refresh_tokens;
DROP TABLE sessions;
