-- What is there names posts and lets a text be checked. It is at most a week's and is read again.
DELETE FROM social_posts;
DELETE FROM social_cursors;

DROP INDEX social_posts_newest_idx;
ALTER TABLE social_posts
    DROP CONSTRAINT social_posts_pkey,
    DROP COLUMN post_id,
    ADD COLUMN post_hash bigint NOT NULL,
    ADD COLUMN author_hash bigint NOT NULL,
    ADD CONSTRAINT social_posts_pkey PRIMARY KEY (coin_id, provider, post_hash),
    ADD CONSTRAINT social_posts_author_hash_key UNIQUE (coin_id, author_hash);
CREATE INDEX social_posts_newest_idx ON social_posts (coin_id, provider, posted_at, post_hash);

COMMENT ON TABLE social_posts IS 'What the newest English posts about a coin score; of ids, texts and authors only hashes under a key from SECRET_KEY are kept. At most 100 a coin and provider, of 7 days.';
COMMENT ON COLUMN social_posts.post_hash IS 'HMAC of its id there: a post counts once.';
COMMENT ON COLUMN social_posts.text_hash IS 'HMAC of the coin and the normalised text: the same text counts once a coin.';
COMMENT ON COLUMN social_posts.author_hash IS 'HMAC of the coin, the hour and the author: an author counts once an hour and coin.';
