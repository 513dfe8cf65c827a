-- Loses: The numbers of coins outside of the list in the snapshots of the last 7 days.
DELETE FROM coin_quotes WHERE NOT is_listed;

ALTER TABLE coin_quotes DROP COLUMN is_listed;
