ALTER TABLE coin_quotes ADD COLUMN updated_at timestamptz;
COMMENT ON COLUMN coin_quotes.updated_at IS 'When the provider last updated the price of this coin; null if it does not report that.';

ALTER TABLE coin_snapshots ADD COLUMN is_repeat boolean NOT NULL DEFAULT false;
COMMENT ON COLUMN coin_snapshots.is_repeat IS 'Whether an earlier snapshot of the same provider and currency has data of the same time; history leaves it out.';
COMMENT ON COLUMN coin_snapshots.as_of IS 'Time of the data: the median of coin_quotes.updated_at, else the time that the provider states for its list.';
CREATE INDEX coin_snapshots_as_of_idx ON coin_snapshots (as_of);

ALTER TABLE coin_history ADD COLUMN sources text[] NOT NULL DEFAULT '{}';
COMMENT ON COLUMN coin_history.sources IS 'Market data providers of the snapshots in the interval, in alphabetical order; empty for rows that were written before this column existed.';
