CREATE TABLE watchlist (
    user_id uuid NOT NULL,
    coin_id bigint NOT NULL,
    added_at timestamptz NOT NULL,
    CONSTRAINT watchlist_pkey PRIMARY KEY (user_id, coin_id),
    CONSTRAINT watchlist_user_id_fkey FOREIGN KEY (user_id) REFERENCES users (id) ON DELETE CASCADE,
    CONSTRAINT watchlist_coin_id_fkey FOREIGN KEY (coin_id) REFERENCES coins (id) ON DELETE CASCADE
);
CREATE INDEX watchlist_coin_id_idx ON watchlist (coin_id);

COMMENT ON TABLE watchlist IS 'The coins that users watch; at most 250 each.';
COMMENT ON COLUMN watchlist.user_id IS 'Who watches.';
COMMENT ON COLUMN watchlist.coin_id IS 'The coin.';
COMMENT ON COLUMN watchlist.added_at IS 'Since when.';

CREATE TABLE alerts (
    id uuid NOT NULL,
    user_id uuid NOT NULL,
    coin_id bigint NOT NULL,
    metric text NOT NULL,
    currency text,
    direction text NOT NULL,
    threshold double precision NOT NULL,
    hysteresis double precision NOT NULL,
    once boolean NOT NULL,
    armed boolean NOT NULL,
    created_at timestamptz NOT NULL,
    crossed_at timestamptz,
    CONSTRAINT alerts_pkey PRIMARY KEY (id),
    CONSTRAINT alerts_user_id_fkey FOREIGN KEY (user_id) REFERENCES users (id) ON DELETE CASCADE,
    CONSTRAINT alerts_coin_id_fkey FOREIGN KEY (coin_id) REFERENCES coins (id) ON DELETE CASCADE,
    CONSTRAINT alerts_metric_check CHECK (metric IN ('price', 'sentiment', 'popularity')),
    CONSTRAINT alerts_currency_check CHECK ((currency IS NOT NULL) = (metric = 'price')),
    CONSTRAINT alerts_direction_check CHECK (direction IN ('above', 'below')),
    CONSTRAINT alerts_hysteresis_check CHECK (hysteresis > 0)
);
CREATE INDEX alerts_user_id_idx ON alerts (user_id, id);
CREATE INDEX alerts_coin_id_idx ON alerts (coin_id);

COMMENT ON TABLE alerts IS 'Who gets a mail when a number of a coin crosses a threshold; at most 50 a user.';
COMMENT ON COLUMN alerts.id IS 'UUIDv7.';
COMMENT ON COLUMN alerts.user_id IS 'Who gets the mail.';
COMMENT ON COLUMN alerts.coin_id IS 'The coin.';
COMMENT ON COLUMN alerts.metric IS 'Which number: price, sentiment or popularity.';
COMMENT ON COLUMN alerts.currency IS 'ISO 4217 code of a price''s threshold; null for the others.';
COMMENT ON COLUMN alerts.direction IS 'above: crossed when the number is at least the threshold; below: at most.';
COMMENT ON COLUMN alerts.threshold IS 'What is crossed.';
COMMENT ON COLUMN alerts.hysteresis IS 'How far behind the threshold the number must go before it can cross again.';
COMMENT ON COLUMN alerts.once IS 'Whether the first crossing is the last.';
COMMENT ON COLUMN alerts.armed IS 'Whether the next number beyond the threshold is a crossing.';
COMMENT ON COLUMN alerts.created_at IS 'When it was asked for.';
COMMENT ON COLUMN alerts.crossed_at IS 'When the threshold was crossed last.';
