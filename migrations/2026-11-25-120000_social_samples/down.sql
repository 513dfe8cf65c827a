-- Loses: All scores of social posts, and how far each source has been read; the next syncs collect new ones.
DELETE FROM social_posts;
DELETE FROM social_cursors;

DROP INDEX social_posts_author_hour_key;
DROP INDEX social_posts_text_hash_key;
ALTER TABLE social_posts
    DROP CONSTRAINT social_posts_scores_check,
    DROP CONSTRAINT social_posts_dropped_check,
    ALTER COLUMN compound SET NOT NULL,
    ALTER COLUMN basic SET NOT NULL,
    DROP COLUMN dropped,
    DROP COLUMN thread_hash,
    DROP COLUMN near_hash,
    ADD CONSTRAINT social_posts_text_hash_key UNIQUE (coin_id, text_hash),
    ADD CONSTRAINT social_posts_author_hash_key UNIQUE (coin_id, author_hash);

COMMENT ON TABLE social_posts IS 'Scores of the newest English posts about each coin, at most 100 per coin and provider, of the last 7 days. Ids, texts and authors are stored only as hashes under a key derived from SECRET_KEY.';
COMMENT ON COLUMN social_posts.text_hash IS 'HMAC of the coin and the normalised text; the same text counts once per coin.';
COMMENT ON COLUMN social_posts.author_hash IS 'HMAC of the coin, the hour and the author; an author counts once per hour and coin.';
COMMENT ON COLUMN social_posts.compound IS 'VADER compound score of the text, -1 to 1.';
COMMENT ON COLUMN social_posts.basic IS 'Basic score of the text, -1 to 1.';
