-- Logged, so that the counts survive a crash of PostgreSQL. The servers do not wait for the disk when they write them.
-- There is no index on free_at and half of each page is free, so that an update neither changes an index nor grows the table.
CREATE TABLE rate_limits (
    key bytea NOT NULL,
    free_at timestamptz NOT NULL,
    granted integer NOT NULL,
    CONSTRAINT rate_limits_pkey PRIMARY KEY (key)
) WITH (fillfactor = 50);

COMMENT ON TABLE rate_limits IS 'Requests that count against a limit, over all servers. Metered by GCRA. A server adds what it has counted in memory.';
COMMENT ON COLUMN rate_limits.key IS 'The first 128 bits of an HMAC of the limit and of whom it limits, under a key derived from SECRET_KEY.';
COMMENT ON COLUMN rate_limits.free_at IS 'When all requests will have been earned back; the row is removed then.';
COMMENT ON COLUMN rate_limits.granted IS 'How many of the requests that the last statement asked for were within the limit: the result of that statement.';
