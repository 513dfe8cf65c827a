ALTER TABLE coins ADD COLUMN named_by text NOT NULL DEFAULT 'coinmarketcap';
ALTER TABLE coins ALTER COLUMN named_by DROP DEFAULT;
COMMENT ON COLUMN coins.named_by IS 'Whose symbol, name and slug these are, as in coin_refs.provider: the others do not rename the coin.';

ALTER TABLE coin_refs ADD CONSTRAINT coin_refs_provider_coin_id_key UNIQUE (provider, coin_id);

ALTER TABLE coin_quotes ADD COLUMN sentiment double precision;
ALTER TABLE coin_quotes ADD COLUMN popularity double precision;
COMMENT ON COLUMN coin_quotes.sentiment IS 'Mean VADER compound of the posts of this slot, -1 to 1; null without a fresh one.';
COMMENT ON COLUMN coin_quotes.popularity IS 'Posting rate of this slot as a ratio to bitcoin''s; null without a fresh one.';

CREATE TABLE snapshot_rates (
    snapshot_id bigint NOT NULL,
    currency text NOT NULL,
    rate double precision NOT NULL,
    rated_at timestamptz NOT NULL,
    percent_change_1h double precision,
    percent_change_24h double precision,
    percent_change_7d double precision,
    CONSTRAINT snapshot_rates_pkey PRIMARY KEY (snapshot_id, currency),
    CONSTRAINT snapshot_rates_snapshot_id_fkey FOREIGN KEY (snapshot_id) REFERENCES coin_snapshots (id) ON DELETE CASCADE,
    CONSTRAINT snapshot_rates_rate_check CHECK (rate > 0 AND rate < 'Infinity')
);
CREATE INDEX snapshot_rates_currency_idx ON snapshot_rates (currency, snapshot_id);

COMMENT ON TABLE snapshot_rates IS 'The currencies that a snapshot can be told in. Amounts are kept once, in the snapshot''s own currency (rate 1).';
COMMENT ON COLUMN snapshot_rates.snapshot_id IS 'The snapshot.';
COMMENT ON COLUMN snapshot_rates.currency IS 'ISO 4217 code.';
COMMENT ON COLUMN snapshot_rates.rate IS 'Units of this currency for one of the snapshot''s.';
COMMENT ON COLUMN snapshot_rates.rated_at IS 'When the rate was read.';
COMMENT ON COLUMN snapshot_rates.percent_change_1h IS 'Change of the rate within an hour, in percent; null while our own history is shorter.';
COMMENT ON COLUMN snapshot_rates.percent_change_24h IS 'Change of the rate within 24 hours, in percent; null as above.';
COMMENT ON COLUMN snapshot_rates.percent_change_7d IS 'Change of the rate within 7 days, in percent; null as above.';

INSERT INTO snapshot_rates (snapshot_id, currency, rate, rated_at, percent_change_1h, percent_change_24h, percent_change_7d)
SELECT id, currency, 1, fetched_at, 0, 0, 0 FROM coin_snapshots;

CREATE TABLE coin_history (
    coin_id bigint NOT NULL,
    currency text NOT NULL,
    step_seconds integer NOT NULL,
    at timestamptz NOT NULL,
    open double precision,
    high double precision,
    low double precision,
    close double precision,
    volume_24h double precision,
    market_cap double precision,
    sentiment double precision,
    popularity double precision,
    samples integer NOT NULL,
    CONSTRAINT coin_history_pkey PRIMARY KEY (coin_id, currency, step_seconds, at),
    CONSTRAINT coin_history_coin_id_fkey FOREIGN KEY (coin_id) REFERENCES coins (id) ON DELETE CASCADE,
    CONSTRAINT coin_history_step_seconds_check CHECK (step_seconds IN (3600, 86400))
);
CREATE INDEX coin_history_step_seconds_at_idx ON coin_history (step_seconds, at);

COMMENT ON TABLE coin_history IS
    'Snapshots rolled up by hour (kept 90 days) and UTC day (kept for good), per currency, since highs and lows do not convert. Rows: snapshots coins*2016 (7 days of 5 minutes); hours coins*currencies*2160; days coins*currencies*365 a year. 20 coins and one currency: 40,320 + 43,200 + 7,300 a year.';
COMMENT ON COLUMN coin_history.coin_id IS 'The coin.';
COMMENT ON COLUMN coin_history.currency IS 'ISO 4217 code of the amounts.';
COMMENT ON COLUMN coin_history.step_seconds IS 'Length of the interval: 3600 or 86400.';
COMMENT ON COLUMN coin_history.at IS 'Start of the interval (UTC).';
COMMENT ON COLUMN coin_history.open IS 'First price in the interval.';
COMMENT ON COLUMN coin_history.high IS 'Highest price in the interval.';
COMMENT ON COLUMN coin_history.low IS 'Lowest price in the interval.';
COMMENT ON COLUMN coin_history.close IS 'Last price in the interval.';
COMMENT ON COLUMN coin_history.volume_24h IS 'Mean of volume_24h.';
COMMENT ON COLUMN coin_history.market_cap IS 'Mean of market_cap.';
COMMENT ON COLUMN coin_history.sentiment IS 'Mean of sentiment.';
COMMENT ON COLUMN coin_history.popularity IS 'Mean of popularity.';
COMMENT ON COLUMN coin_history.samples IS 'Snapshots in the interval.';

CREATE TABLE coin_rollups (
    step_seconds integer NOT NULL,
    done_until timestamptz NOT NULL,
    CONSTRAINT coin_rollups_pkey PRIMARY KEY (step_seconds)
);
COMMENT ON TABLE coin_rollups IS 'How far the roll-ups are; what is not rolled up yet is not pruned.';
COMMENT ON COLUMN coin_rollups.step_seconds IS 'As in coin_history.';
COMMENT ON COLUMN coin_rollups.done_until IS 'Every interval that ended by then is in coin_history.';

ALTER TABLE provider_state ADD COLUMN usage_day date;
ALTER TABLE provider_state ADD COLUMN used integer NOT NULL DEFAULT 0;
COMMENT ON COLUMN provider_state.usage_day IS 'The UTC day that used counts.';
COMMENT ON COLUMN provider_state.used IS 'Credits (CoinMarketCap) or calls on that day; counted before each call.';

ALTER TABLE sync_slots ADD COLUMN running boolean NOT NULL DEFAULT false;
ALTER TABLE sync_slots ADD COLUMN requested boolean NOT NULL DEFAULT false;
ALTER TABLE sync_slots ADD COLUMN provider text;
CREATE UNIQUE INDEX sync_slots_running_idx ON sync_slots (running) WHERE running;
COMMENT ON COLUMN sync_slots.running IS 'Whether its holder is at work; one slot at most is.';
COMMENT ON COLUMN sync_slots.requested IS 'Whether an admin asked for it; its slot is the time of asking.';
COMMENT ON COLUMN sync_slots.provider IS 'Who reported in the end.';
