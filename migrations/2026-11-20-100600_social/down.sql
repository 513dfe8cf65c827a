DROP TABLE social_streams;
DROP TABLE coin_social;
DROP TABLE social_cursors;
DROP TABLE social_posts;
