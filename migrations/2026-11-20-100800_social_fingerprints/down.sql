-- Loses: All scores of social posts, and how far each source has been read; the next syncs collect new ones.
DELETE FROM social_posts;
DELETE FROM social_cursors;

DROP INDEX social_posts_newest_idx;
ALTER TABLE social_posts
    DROP CONSTRAINT social_posts_author_hash_key,
    DROP CONSTRAINT social_posts_pkey,
    DROP COLUMN post_hash,
    DROP COLUMN author_hash,
    ADD COLUMN post_id text NOT NULL,
    ADD CONSTRAINT social_posts_pkey PRIMARY KEY (coin_id, provider, post_id);
CREATE INDEX social_posts_newest_idx ON social_posts (coin_id, provider, posted_at, post_id);

COMMENT ON TABLE social_posts IS 'What the newest English posts about a coin score; their texts and authors are not kept. At most 100 a coin and provider, of 7 days.';
COMMENT ON COLUMN social_posts.post_id IS 'Its id there; of Mastodon the URI, which is the same on every instance.';
COMMENT ON COLUMN social_posts.text_hash IS 'SipHash of the normalised text: the same text counts once a coin.';
