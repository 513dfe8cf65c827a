ALTER TABLE provider_state ADD COLUMN usage_month date;
ALTER TABLE provider_state ADD COLUMN used_in_month integer NOT NULL DEFAULT 0;
ALTER TABLE provider_state ADD CONSTRAINT provider_state_used_in_month_check CHECK (used_in_month >= 0);
COMMENT ON COLUMN provider_state.usage_month IS 'First day of the UTC month that used_in_month counts; null before the first call.';
COMMENT ON COLUMN provider_state.used_in_month IS 'Credits, posts or calls used in that month.';
