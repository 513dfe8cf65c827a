CREATE TABLE social_hours (
    coin_id bigint NOT NULL,
    source text NOT NULL,
    step_seconds integer NOT NULL,
    at timestamptz NOT NULL,
    posts bigint NOT NULL,
    authors bigint NOT NULL,
    CONSTRAINT social_hours_pkey PRIMARY KEY (coin_id, source, step_seconds, at),
    CONSTRAINT social_hours_coin_id_fkey FOREIGN KEY (coin_id) REFERENCES coins (id) ON DELETE CASCADE,
    CONSTRAINT social_hours_step_seconds_check CHECK (step_seconds IN (3600, 86400)),
    CONSTRAINT social_hours_posts_check CHECK (authors >= 0 AND posts >= authors)
);
CREATE INDEX social_hours_step_seconds_at_idx ON social_hours (step_seconds, at);

COMMENT ON TABLE social_hours IS 'Numbers of posts about each coin: per hour for 90 days, then per day (UTC).';
COMMENT ON COLUMN social_hours.coin_id IS 'The coin.';
COMMENT ON COLUMN social_hours.source IS 'The provider of the posts: mastodon, bluesky or x.';
COMMENT ON COLUMN social_hours.step_seconds IS 'Length of the interval in seconds: 3600 or 86400.';
COMMENT ON COLUMN social_hours.at IS 'Start of the interval.';
COMMENT ON COLUMN social_hours.posts IS 'English posts that repeat no other one, with further posts of the same author.';
COMMENT ON COLUMN social_hours.authors IS 'Distinct authors; of a day the sum over its hours.';
COMMENT ON TABLE social_streams IS 'The replica that follows each stream, and the one that queries all other sources; only one does so at a time.';
COMMENT ON COLUMN social_streams.source IS 'Name of the stream: bluesky; queried stands for all sources that are queried.';
