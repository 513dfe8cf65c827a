ALTER TABLE coin_quotes ADD COLUMN is_listed boolean NOT NULL DEFAULT true;

COMMENT ON COLUMN coin_quotes.is_listed IS 'Whether the coin is in the list of the largest coins; false for one that was read because users follow it.';
