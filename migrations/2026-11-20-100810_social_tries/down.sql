DROP TABLE social_tries;
