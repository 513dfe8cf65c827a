COMMENT ON TABLE registrations IS 'Accounts-to-be that wait for their confirmation. Nothing in here is unique: whoever reads the mail of the address decides; if their passwords differ, none of them becomes the account''s.';
COMMENT ON COLUMN registrations.username IS 'As in users; the account starts without it if another one has taken it meanwhile, or if passwords differ.';
COMMENT ON COLUMN registrations.password_hash IS 'As in users, with a salt that all registrations of the address share.';
COMMENT ON COLUMN challenges.tries IS 'Wrong codes that were tried; after five, none is right any more.';
