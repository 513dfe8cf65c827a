ALTER TABLE coin_history ADD COLUMN volume_24h_samples integer NOT NULL DEFAULT 0;
ALTER TABLE coin_history ADD COLUMN market_cap_samples integer NOT NULL DEFAULT 0;
ALTER TABLE coin_history ADD COLUMN sentiment_samples integer NOT NULL DEFAULT 0;
ALTER TABLE coin_history ADD COLUMN popularity_samples integer NOT NULL DEFAULT 0;
UPDATE coin_history SET
    volume_24h_samples = CASE WHEN volume_24h IS NULL THEN 0 ELSE samples END,
    market_cap_samples = CASE WHEN market_cap IS NULL THEN 0 ELSE samples END,
    sentiment_samples = CASE WHEN sentiment IS NULL THEN 0 ELSE samples END,
    popularity_samples = CASE WHEN popularity IS NULL THEN 0 ELSE samples END;
ALTER TABLE coin_history ALTER COLUMN volume_24h_samples DROP DEFAULT;
ALTER TABLE coin_history ALTER COLUMN market_cap_samples DROP DEFAULT;
ALTER TABLE coin_history ALTER COLUMN sentiment_samples DROP DEFAULT;
ALTER TABLE coin_history ALTER COLUMN popularity_samples DROP DEFAULT;
COMMENT ON COLUMN coin_history.volume_24h_samples IS 'Snapshots in the interval that have volume_24h: the weight of its mean.';
COMMENT ON COLUMN coin_history.market_cap_samples IS 'Snapshots in the interval that have market_cap: the weight of its mean.';
COMMENT ON COLUMN coin_history.sentiment_samples IS 'Snapshots in the interval that have sentiment: the weight of its mean.';
COMMENT ON COLUMN coin_history.popularity_samples IS 'Snapshots in the interval that have popularity: the weight of its mean.';

-- The hours of days that are not rolled up yet are made again, with exact counts: their snapshots are still there.
UPDATE coin_rollups SET done_until = least(done_until, coalesce(
    (SELECT done_until FROM coin_rollups WHERE step_seconds = 86400), 'epoch'))
WHERE step_seconds = 3600;
