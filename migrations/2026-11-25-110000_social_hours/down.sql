DROP TABLE social_hours;

COMMENT ON TABLE social_streams IS 'The replica that reads each stream; only one reads it at a time.';
COMMENT ON COLUMN social_streams.source IS 'Name of the stream: bluesky.';
