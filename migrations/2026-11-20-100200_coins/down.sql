DROP TABLE sync_slots;
DROP TABLE provider_state;
DROP TABLE coin_quotes;
DROP TABLE coin_snapshots;
DROP TABLE coin_refs;
DROP TABLE coins;
