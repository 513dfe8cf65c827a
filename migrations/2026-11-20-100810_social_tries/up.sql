CREATE TABLE social_tries (
    source text NOT NULL,
    coin_id bigint NOT NULL,
    tried_at timestamptz NOT NULL,
    CONSTRAINT social_tries_pkey PRIMARY KEY (source, coin_id),
    CONSTRAINT social_tries_coin_id_fkey FOREIGN KEY (coin_id) REFERENCES coins (id) ON DELETE CASCADE
);
CREATE INDEX social_tries_coin_id_idx ON social_tries (coin_id);

COMMENT ON TABLE social_tries IS 'When each source was last asked about each coin, whatever came of it: the coin that waits longest is next.';
COMMENT ON COLUMN social_tries.source IS 'x, or mastodon:<host> for an instance.';
COMMENT ON COLUMN social_tries.coin_id IS 'The coin.';
COMMENT ON COLUMN social_tries.tried_at IS 'When it was asked.';
