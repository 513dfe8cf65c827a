CREATE TABLE coin_catalogue (
    provider text NOT NULL,
    provider_coin_id text NOT NULL,
    symbol text NOT NULL,
    name text NOT NULL,
    slug text NOT NULL,
    rank integer,
    CONSTRAINT coin_catalogue_pkey PRIMARY KEY (provider, provider_coin_id)
);
CREATE INDEX coin_catalogue_symbol_idx ON coin_catalogue (lower(symbol) COLLATE "C");
CREATE INDEX coin_catalogue_name_idx ON coin_catalogue (lower(name) COLLATE "C");
CREATE INDEX coin_catalogue_slug_idx ON coin_catalogue (slug);

COMMENT ON TABLE coin_catalogue IS 'The names of all coins that a provider knows, read once a day, so that users find coins outside of the list.';
COMMENT ON COLUMN coin_catalogue.provider IS 'Namespace of the ids: coinmarketcap, coingecko or coinpaprika.';
COMMENT ON COLUMN coin_catalogue.provider_coin_id IS 'The provider''s id of the coin.';
COMMENT ON COLUMN coin_catalogue.symbol IS 'Ticker symbol; not unique.';
COMMENT ON COLUMN coin_catalogue.name IS 'Name of the coin; not unique.';
COMMENT ON COLUMN coin_catalogue.slug IS 'Name of the coin in URLs.';
COMMENT ON COLUMN coin_catalogue.rank IS 'Rank by market capitalisation; null if the provider does not state it.';
