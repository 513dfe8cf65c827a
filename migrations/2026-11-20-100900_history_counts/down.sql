ALTER TABLE coin_history DROP COLUMN popularity_samples;
ALTER TABLE coin_history DROP COLUMN sentiment_samples;
ALTER TABLE coin_history DROP COLUMN market_cap_samples;
ALTER TABLE coin_history DROP COLUMN volume_24h_samples;
