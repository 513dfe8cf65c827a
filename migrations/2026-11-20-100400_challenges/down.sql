DROP TRIGGER users_email_reserved ON users;
DROP FUNCTION refuse_reserved_email();
DROP TABLE challenges;
DROP TABLE registrations;
ALTER TABLE users DROP COLUMN email_confirmed_at;
