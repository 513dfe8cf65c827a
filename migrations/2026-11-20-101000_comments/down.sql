COMMENT ON TABLE registrations IS 'Accounts-to-be that wait for their confirmation. Nothing in here is unique: whoever reads the mail of the address decides which one becomes the account.';
COMMENT ON COLUMN registrations.username IS 'As in users; the account starts without it if another one has taken it meanwhile.';
COMMENT ON COLUMN registrations.password_hash IS 'As in users.';
COMMENT ON COLUMN challenges.tries IS 'Codes that were tried; after five, none is right any more.';
