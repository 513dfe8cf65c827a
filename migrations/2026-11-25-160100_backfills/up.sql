CREATE TABLE coin_backfills (
    coin_id bigint NOT NULL,
    currency text NOT NULL,
    step_seconds integer NOT NULL,
    attempts integer NOT NULL,
    retry_at timestamptz NOT NULL,
    busy_until timestamptz NOT NULL,
    done_at timestamptz,
    CONSTRAINT coin_backfills_pkey PRIMARY KEY (coin_id, currency, step_seconds),
    CONSTRAINT coin_backfills_coin_id_fkey FOREIGN KEY (coin_id) REFERENCES coins (id) ON DELETE CASCADE
);
CREATE INDEX coin_backfills_busy_until_idx ON coin_backfills (busy_until);

COMMENT ON TABLE coin_backfills IS 'Which histories of coins were read from providers, to fill the time before the first sync.';
COMMENT ON COLUMN coin_backfills.coin_id IS 'The coin.';
COMMENT ON COLUMN coin_backfills.currency IS 'ISO 4217 code of the amounts that are read.';
COMMENT ON COLUMN coin_backfills.step_seconds IS 'Length of the intervals: 3600 or 86400.';
COMMENT ON COLUMN coin_backfills.attempts IS 'Number of tries; without those during which the provider failed for all coins.';
COMMENT ON COLUMN coin_backfills.retry_at IS 'When it may be tried again, unless it is done.';
COMMENT ON COLUMN coin_backfills.busy_until IS 'Until then no replica begins another one: while it is read, and shortly afterwards.';
COMMENT ON COLUMN coin_backfills.done_at IS 'When it was read; null until then.';
