DROP TABLE coin_backfills;
