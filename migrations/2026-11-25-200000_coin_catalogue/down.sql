DROP TABLE coin_catalogue;
