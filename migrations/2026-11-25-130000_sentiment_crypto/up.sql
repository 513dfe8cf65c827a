ALTER TABLE social_posts ADD COLUMN crypto double precision;

COMMENT ON COLUMN social_posts.crypto IS 'Compound score of the text by the rules of VADER with the words of the list crypto-1, -1 to 1; null for a post that was scored before the list existed.';
