CREATE TABLE portfolio_transactions (
    id uuid NOT NULL,
    user_id uuid NOT NULL,
    coin_id bigint NOT NULL,
    kind text NOT NULL,
    amount numeric(36, 18) NOT NULL,
    total numeric(36, 18) NOT NULL,
    currency text NOT NULL,
    day date NOT NULL,
    created_at timestamptz NOT NULL,
    CONSTRAINT portfolio_transactions_pkey PRIMARY KEY (id),
    CONSTRAINT portfolio_transactions_user_id_fkey FOREIGN KEY (user_id) REFERENCES users (id) ON DELETE CASCADE,
    CONSTRAINT portfolio_transactions_coin_id_fkey FOREIGN KEY (coin_id) REFERENCES coins (id),
    CONSTRAINT portfolio_transactions_kind_check CHECK (kind IN ('buy', 'sell')),
    CONSTRAINT portfolio_transactions_amount_check CHECK (amount > 0),
    CONSTRAINT portfolio_transactions_total_check CHECK (total >= 0)
);
CREATE INDEX portfolio_transactions_user_id_idx ON portfolio_transactions (user_id, day, kind, id);
CREATE INDEX portfolio_transactions_coin_id_idx ON portfolio_transactions (coin_id);

COMMENT ON TABLE portfolio_transactions IS 'What users have bought and sold; at most 5,000 rows a user, in one currency.';
COMMENT ON COLUMN portfolio_transactions.id IS 'UUIDv7.';
COMMENT ON COLUMN portfolio_transactions.user_id IS 'Whose transaction it is.';
COMMENT ON COLUMN portfolio_transactions.coin_id IS 'The coin.';
COMMENT ON COLUMN portfolio_transactions.kind IS 'buy or sell. Of a day, purchases come before sales.';
COMMENT ON COLUMN portfolio_transactions.amount IS 'Amount of the coin.';
COMMENT ON COLUMN portfolio_transactions.total IS 'Paid with fees (buy), or received after fees (sell).';
COMMENT ON COLUMN portfolio_transactions.currency IS 'ISO 4217 code of total; the same in all transactions of a user.';
COMMENT ON COLUMN portfolio_transactions.day IS 'The day of the transaction.';
COMMENT ON COLUMN portfolio_transactions.created_at IS 'When it was recorded.';
