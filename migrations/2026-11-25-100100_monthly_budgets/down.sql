ALTER TABLE provider_state DROP COLUMN used_in_month;
ALTER TABLE provider_state DROP COLUMN usage_month;
