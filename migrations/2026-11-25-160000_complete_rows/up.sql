ALTER TABLE coins ADD COLUMN image text;
ALTER TABLE coins ADD COLUMN tags text[] NOT NULL DEFAULT '{}';
COMMENT ON COLUMN coins.image IS 'HTTPS address of the logo at the provider that reported one last; null without any.';
COMMENT ON COLUMN coins.tags IS 'Tags of the provider that reported some last, at most 30 without spaces.';

ALTER TABLE coin_quotes ADD COLUMN percent_change_30d double precision;
ALTER TABLE coin_quotes ADD COLUMN circulating_supply double precision;
ALTER TABLE coin_quotes ADD COLUMN max_supply double precision;
ALTER TABLE coin_quotes ADD COLUMN high_24h double precision;
ALTER TABLE coin_quotes ADD COLUMN low_24h double precision;
ALTER TABLE coin_quotes ADD COLUMN ath double precision;
ALTER TABLE coin_quotes ADD COLUMN ath_at timestamptz;
COMMENT ON COLUMN coin_quotes.percent_change_30d IS 'Change of the price within 30 days, in percent.';
COMMENT ON COLUMN coin_quotes.circulating_supply IS 'Number of coins in circulation.';
COMMENT ON COLUMN coin_quotes.max_supply IS 'Number of coins that can ever exist; null if there is no limit or the provider does not report it.';
COMMENT ON COLUMN coin_quotes.high_24h IS 'Highest price of the last 24 hours.';
COMMENT ON COLUMN coin_quotes.low_24h IS 'Lowest price of the last 24 hours.';
COMMENT ON COLUMN coin_quotes.ath IS 'Highest price ever (all-time high).';
COMMENT ON COLUMN coin_quotes.ath_at IS 'Time of ath.';

ALTER TABLE snapshot_rates ADD COLUMN percent_change_30d double precision;
COMMENT ON COLUMN snapshot_rates.percent_change_30d IS 'Change of the rate within 30 days, in percent, as the provider states it; null if it does not.';
