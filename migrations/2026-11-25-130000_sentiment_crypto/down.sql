-- Loses: The scores behind sentiment_crypto; they return with new posts after the next upgrade.
ALTER TABLE social_posts DROP COLUMN crypto;
