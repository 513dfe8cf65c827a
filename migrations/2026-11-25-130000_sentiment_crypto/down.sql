ALTER TABLE social_posts DROP COLUMN crypto;
