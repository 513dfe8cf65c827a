ALTER TABLE alerts
    ALTER COLUMN coin_id DROP NOT NULL,
    DROP CONSTRAINT alerts_metric_check,
    DROP CONSTRAINT alerts_currency_check,
    ADD CONSTRAINT alerts_metric_check CHECK (metric IN ('price', 'volume_24h', 'percent_change_1h',
        'percent_change_24h', 'percent_change_7d', 'sentiment', 'popularity', 'portfolio_value')),
    ADD CONSTRAINT alerts_currency_check CHECK ((currency IS NULL) = (metric IN ('sentiment', 'popularity'))),
    ADD CONSTRAINT alerts_coin_id_check CHECK ((coin_id IS NULL) = (metric = 'portfolio_value'));

COMMENT ON TABLE alerts IS 'Who gets a mail when a number of a coin or of their portfolio crosses a threshold; at most 50 a user.';
COMMENT ON COLUMN alerts.coin_id IS 'The coin whose number is watched; null for the value of the portfolio.';
COMMENT ON COLUMN alerts.metric IS 'Which number, by its name in the API.';
COMMENT ON COLUMN alerts.currency IS 'ISO 4217 code of the amounts, or of the prices that a change is of; null for other metrics.';
COMMENT ON COLUMN alerts.threshold IS 'Value that triggers the alert: an amount in the currency, percent, or a number.';
