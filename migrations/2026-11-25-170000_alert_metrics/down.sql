-- Loses: All alerts on volumes, percent changes and the value of the portfolio.
DELETE FROM alerts WHERE metric NOT IN ('price', 'sentiment', 'popularity');

ALTER TABLE alerts
    DROP CONSTRAINT alerts_coin_id_check,
    DROP CONSTRAINT alerts_currency_check,
    DROP CONSTRAINT alerts_metric_check,
    ADD CONSTRAINT alerts_metric_check CHECK (metric IN ('price', 'sentiment', 'popularity')),
    ADD CONSTRAINT alerts_currency_check CHECK ((currency IS NOT NULL) = (metric = 'price')),
    ALTER COLUMN coin_id SET NOT NULL;

COMMENT ON TABLE alerts IS 'A user''s request for a mail when a number of a coin crosses a threshold; at most 50 per user.';
COMMENT ON COLUMN alerts.coin_id IS 'The coin.';
COMMENT ON COLUMN alerts.metric IS 'The number that is watched: price, sentiment or popularity.';
COMMENT ON COLUMN alerts.currency IS 'ISO 4217 code of a price threshold; null for other metrics.';
COMMENT ON COLUMN alerts.threshold IS 'The value that the number must reach.';
