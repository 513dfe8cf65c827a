ALTER TABLE coin_history DROP COLUMN sources;
DROP INDEX coin_snapshots_as_of_idx;
COMMENT ON COLUMN coin_snapshots.as_of IS 'The time that the provider states for its data.';
ALTER TABLE coin_snapshots DROP COLUMN is_repeat;
ALTER TABLE coin_quotes DROP COLUMN updated_at;
