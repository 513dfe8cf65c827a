CREATE TABLE social_posts (
    coin_id bigint NOT NULL,
    provider text NOT NULL,
    post_id text NOT NULL,
    posted_at timestamptz NOT NULL,
    text_hash bigint NOT NULL,
    compound double precision NOT NULL,
    basic double precision NOT NULL,
    CONSTRAINT social_posts_pkey PRIMARY KEY (coin_id, provider, post_id),
    CONSTRAINT social_posts_text_hash_key UNIQUE (coin_id, text_hash),
    CONSTRAINT social_posts_coin_id_fkey FOREIGN KEY (coin_id) REFERENCES coins (id) ON DELETE CASCADE
);
CREATE INDEX social_posts_newest_idx ON social_posts (coin_id, provider, posted_at, post_id);
CREATE INDEX social_posts_posted_at_idx ON social_posts (posted_at);

COMMENT ON TABLE social_posts IS 'What the newest English posts about a coin score; their texts and authors are not kept. At most 100 a coin and provider, of 7 days.';
COMMENT ON COLUMN social_posts.coin_id IS 'The coin that the post is about.';
COMMENT ON COLUMN social_posts.provider IS 'Where it was published: x, mastodon or bluesky.';
COMMENT ON COLUMN social_posts.post_id IS 'Its id there; of Mastodon the URI, which is the same on every instance.';
COMMENT ON COLUMN social_posts.posted_at IS 'When it was published.';
COMMENT ON COLUMN social_posts.text_hash IS 'SipHash of the normalised text: the same text counts once a coin.';
COMMENT ON COLUMN social_posts.compound IS 'VADER compound of the text, -1 to 1.';
COMMENT ON COLUMN social_posts.basic IS 'The basic score of the text, -1 to 1.';

CREATE TABLE social_cursors (
    source text NOT NULL,
    coin_id bigint NOT NULL,
    cursor text,
    covered_since timestamptz NOT NULL,
    covered_until timestamptz NOT NULL,
    counted_posts double precision,
    counted_hours double precision,
    CONSTRAINT social_cursors_pkey PRIMARY KEY (source, coin_id),
    CONSTRAINT social_cursors_coin_id_fkey FOREIGN KEY (coin_id) REFERENCES coins (id) ON DELETE CASCADE
);
CREATE INDEX social_cursors_coin_id_idx ON social_cursors (coin_id);

COMMENT ON TABLE social_cursors IS 'How far each source has been read for each coin.';
COMMENT ON COLUMN social_cursors.source IS 'x, bluesky, or mastodon:<host> for an instance.';
COMMENT ON COLUMN social_cursors.coin_id IS 'The coin.';
COMMENT ON COLUMN social_cursors.cursor IS 'The newest post that was read, in the source''s own terms.';
COMMENT ON COLUMN social_cursors.covered_since IS 'No post after this and before covered_until was missed.';
COMMENT ON COLUMN social_cursors.covered_until IS 'When the source was last read.';
COMMENT ON COLUMN social_cursors.counted_posts IS 'Posts as the source itself counts them; null where it does not.';
COMMENT ON COLUMN social_cursors.counted_hours IS 'The hours that counted_posts were published in.';

CREATE TABLE coin_social (
    coin_id bigint NOT NULL,
    as_of timestamptz NOT NULL,
    social jsonb NOT NULL,
    CONSTRAINT coin_social_pkey PRIMARY KEY (coin_id),
    CONSTRAINT coin_social_coin_id_fkey FOREIGN KEY (coin_id) REFERENCES coins (id) ON DELETE CASCADE
);

COMMENT ON TABLE coin_social IS 'What people say about each coin, as it is served; changes in the commit of a snapshot.';
COMMENT ON COLUMN coin_social.coin_id IS 'The coin.';
COMMENT ON COLUMN coin_social.as_of IS 'When its sources were last read.';
COMMENT ON COLUMN coin_social.social IS 'The block "social" of the API.';

CREATE TABLE social_streams (
    source text NOT NULL,
    holder uuid NOT NULL,
    lease_until timestamptz NOT NULL,
    cursor bigint,
    CONSTRAINT social_streams_pkey PRIMARY KEY (source)
);

COMMENT ON TABLE social_streams IS 'Which replica reads a stream: one at a time.';
COMMENT ON COLUMN social_streams.source IS 'bluesky.';
COMMENT ON COLUMN social_streams.holder IS 'The process that reads it.';
COMMENT ON COLUMN social_streams.lease_until IS 'Another replica may take over after this.';
COMMENT ON COLUMN social_streams.cursor IS 'The newest event that is written down, in microseconds of Unix time.';
