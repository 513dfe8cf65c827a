CREATE TABLE coins (
    id bigint GENERATED ALWAYS AS IDENTITY,
    symbol text NOT NULL,
    name text NOT NULL,
    slug text NOT NULL,
    CONSTRAINT coins_pkey PRIMARY KEY (id)
);

COMMENT ON TABLE coins IS 'Coins as Mintage knows them, whoever reports on them.';
COMMENT ON COLUMN coins.id IS 'Our own id: ticker symbols are not unique.';
COMMENT ON COLUMN coins.symbol IS 'Ticker symbol, such as BTC.';
COMMENT ON COLUMN coins.name IS 'Name, such as Bitcoin.';
COMMENT ON COLUMN coins.slug IS 'Name for URLs, such as bitcoin.';

CREATE TABLE coin_refs (
    provider text NOT NULL,
    provider_coin_id text NOT NULL,
    coin_id bigint NOT NULL,
    CONSTRAINT coin_refs_pkey PRIMARY KEY (provider, provider_coin_id),
    CONSTRAINT coin_refs_coin_id_fkey FOREIGN KEY (coin_id) REFERENCES coins (id) ON DELETE CASCADE
);
CREATE INDEX coin_refs_coin_id_idx ON coin_refs (coin_id);

COMMENT ON TABLE coin_refs IS 'What each provider calls a coin.';
COMMENT ON COLUMN coin_refs.provider IS 'Such as coinmarketcap.';
COMMENT ON COLUMN coin_refs.provider_coin_id IS 'The provider''s id, as text.';
COMMENT ON COLUMN coin_refs.coin_id IS 'The coin it means.';

CREATE TABLE coin_snapshots (
    id bigint GENERATED ALWAYS AS IDENTITY,
    provider text NOT NULL,
    currency text NOT NULL,
    as_of timestamptz NOT NULL,
    fetched_at timestamptz NOT NULL,
    CONSTRAINT coin_snapshots_pkey PRIMARY KEY (id)
);
CREATE INDEX coin_snapshots_latest_idx ON coin_snapshots (currency, id);
CREATE INDEX coin_snapshots_fetched_at_idx ON coin_snapshots (fetched_at);

COMMENT ON TABLE coin_snapshots IS 'Each complete sync; the newest is what the API serves, the rest is history.';
COMMENT ON COLUMN coin_snapshots.id IS 'Grows with time.';
COMMENT ON COLUMN coin_snapshots.provider IS 'Who reported.';
COMMENT ON COLUMN coin_snapshots.currency IS 'ISO 4217 code of every amount in the snapshot.';
COMMENT ON COLUMN coin_snapshots.as_of IS 'The time that the provider states for its data.';
COMMENT ON COLUMN coin_snapshots.fetched_at IS 'When we read it.';

CREATE TABLE coin_quotes (
    snapshot_id bigint NOT NULL,
    coin_id bigint NOT NULL,
    rank integer NOT NULL,
    price double precision,
    volume_24h double precision,
    volume_change_24h double precision,
    percent_change_1h double precision,
    percent_change_24h double precision,
    percent_change_7d double precision,
    market_cap double precision,
    CONSTRAINT coin_quotes_pkey PRIMARY KEY (snapshot_id, coin_id),
    CONSTRAINT coin_quotes_snapshot_id_fkey FOREIGN KEY (snapshot_id) REFERENCES coin_snapshots (id) ON DELETE CASCADE,
    CONSTRAINT coin_quotes_coin_id_fkey FOREIGN KEY (coin_id) REFERENCES coins (id)
);
CREATE INDEX coin_quotes_coin_id_idx ON coin_quotes (coin_id, snapshot_id);

COMMENT ON TABLE coin_quotes IS 'What a snapshot says of a coin. Double precision: providers send JSON numbers, which are doubles.';
COMMENT ON COLUMN coin_quotes.snapshot_id IS 'The snapshot.';
COMMENT ON COLUMN coin_quotes.coin_id IS 'The coin.';
COMMENT ON COLUMN coin_quotes.rank IS 'Rank by market capitalisation, from 1.';
COMMENT ON COLUMN coin_quotes.price IS 'Price of one coin.';
COMMENT ON COLUMN coin_quotes.volume_24h IS 'Traded in the last 24 hours.';
COMMENT ON COLUMN coin_quotes.volume_change_24h IS 'Change of volume_24h against the 24 hours before, in percent.';
COMMENT ON COLUMN coin_quotes.percent_change_1h IS 'Change of the price within an hour, in percent.';
COMMENT ON COLUMN coin_quotes.percent_change_24h IS 'Change of the price within 24 hours, in percent.';
COMMENT ON COLUMN coin_quotes.percent_change_7d IS 'Change of the price within 7 days, in percent.';
COMMENT ON COLUMN coin_quotes.market_cap IS 'Price times circulating supply.';

CREATE TABLE provider_state (
    provider text NOT NULL,
    failures integer NOT NULL DEFAULT 0,
    retry_at timestamptz,
    stopped boolean NOT NULL DEFAULT false,
    last_success_at timestamptz,
    last_error text,
    last_error_at timestamptz,
    CONSTRAINT provider_state_pkey PRIMARY KEY (provider)
);

COMMENT ON TABLE provider_state IS 'Back-off per provider; here, because the replica that syncs changes.';
COMMENT ON COLUMN provider_state.provider IS 'Such as coinmarketcap.';
COMMENT ON COLUMN provider_state.failures IS 'Failures since the last success.';
COMMENT ON COLUMN provider_state.retry_at IS 'Not asked again before.';
COMMENT ON COLUMN provider_state.stopped IS 'Not asked again until an operator has acted (key, plan, quota) and restarted.';
COMMENT ON COLUMN provider_state.last_success_at IS 'When it last answered well.';
COMMENT ON COLUMN provider_state.last_error IS 'What was wrong the last time.';
COMMENT ON COLUMN provider_state.last_error_at IS 'When that was.';

CREATE TABLE sync_slots (
    slot timestamptz NOT NULL,
    holder uuid NOT NULL,
    lease_until timestamptz NOT NULL,
    attempt integer NOT NULL DEFAULT 1,
    finished_at timestamptz,
    CONSTRAINT sync_slots_pkey PRIMARY KEY (slot)
);

COMMENT ON TABLE sync_slots IS 'One row a slot of the sync schedule: which replica runs it, under which lease.';
COMMENT ON COLUMN sync_slots.slot IS 'Start of the slot.';
COMMENT ON COLUMN sync_slots.holder IS 'The process that claimed it.';
COMMENT ON COLUMN sync_slots.lease_until IS 'Another replica may claim an unfinished slot after this.';
COMMENT ON COLUMN sync_slots.attempt IS 'Fencing: only the claim with this number may finish the slot.';
COMMENT ON COLUMN sync_slots.finished_at IS 'When the snapshot was committed or the failure recorded.';
