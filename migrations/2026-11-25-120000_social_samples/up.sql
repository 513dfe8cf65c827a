ALTER TABLE social_posts
    DROP CONSTRAINT social_posts_text_hash_key,
    DROP CONSTRAINT social_posts_author_hash_key,
    ADD COLUMN near_hash bigint,
    ADD COLUMN thread_hash bigint,
    ADD COLUMN dropped text,
    ALTER COLUMN compound DROP NOT NULL,
    ALTER COLUMN basic DROP NOT NULL,
    ADD CONSTRAINT social_posts_dropped_check CHECK (dropped IN ('language', 'duplicate', 'author', 'tags')),
    ADD CONSTRAINT social_posts_scores_check
        CHECK ((compound IS NULL) = (dropped IS NOT NULL) AND (basic IS NULL) = (dropped IS NOT NULL));
CREATE UNIQUE INDEX social_posts_text_hash_key ON social_posts (coin_id, text_hash) WHERE dropped IS NULL;
CREATE UNIQUE INDEX social_posts_author_hour_key
    ON social_posts (coin_id, author_hash, date_trunc('hour', posted_at AT TIME ZONE 'UTC')) WHERE dropped IS NULL;

COMMENT ON TABLE social_posts IS 'The newest posts about each coin, at most 5000 per coin and provider, of the last 7 days: scores of those that count, and why the others do not. Ids, texts, authors and conversations are stored only as hashes under a key derived from SECRET_KEY.';
COMMENT ON COLUMN social_posts.text_hash IS 'HMAC of the coin and the words of the text without digits, tags and links; the same words count once per coin.';
COMMENT ON COLUMN social_posts.near_hash IS 'SimHash of HMACs of the coin and each three words in a row: similar texts have hashes that differ in few bits. Null for a short text.';
COMMENT ON COLUMN social_posts.author_hash IS 'HMAC of the coin and the author. It recognises the author of posts about this coin for 7 days; an author counts once per hour and coin.';
COMMENT ON COLUMN social_posts.thread_hash IS 'HMAC of the coin and the conversation that the post belongs to; null if the source does not state one.';
COMMENT ON COLUMN social_posts.dropped IS 'Why the post does not count: language (not English), tags (it tags more than five coins), duplicate, or author (a further post of the author in the hour). Null if it counts.';
COMMENT ON COLUMN social_posts.compound IS 'VADER compound score of the text, -1 to 1; null if the post does not count.';
COMMENT ON COLUMN social_posts.basic IS 'Basic score of the text, -1 to 1; null if the post does not count.';
