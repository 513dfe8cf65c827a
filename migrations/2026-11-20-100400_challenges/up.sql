ALTER TABLE users ADD COLUMN email_confirmed_at timestamptz;

COMMENT ON COLUMN users.email_confirmed_at IS 'When the person last proved to read mail at this address; null: never.';

CREATE TABLE registrations (
    id uuid NOT NULL,
    email text NOT NULL,
    email_canonical text NOT NULL,
    username text,
    username_canonical text,
    name text,
    password_hash text NOT NULL,
    created_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    CONSTRAINT registrations_pkey PRIMARY KEY (id),
    CONSTRAINT registrations_username_check CHECK ((username IS NULL) = (username_canonical IS NULL))
);
CREATE INDEX registrations_email_idx ON registrations (email_canonical, id);
CREATE INDEX registrations_username_idx ON registrations (username_canonical, id) WHERE username_canonical IS NOT NULL;
CREATE INDEX registrations_expires_at_idx ON registrations (expires_at);

COMMENT ON TABLE registrations IS 'Accounts-to-be that wait for their confirmation. Nothing in here is unique: whoever reads the mail of the address decides which one becomes the account.';
COMMENT ON COLUMN registrations.id IS 'UUIDv7.';
COMMENT ON COLUMN registrations.email IS 'As in users.';
COMMENT ON COLUMN registrations.email_canonical IS 'As in users.';
COMMENT ON COLUMN registrations.username IS 'As in users; the account starts without it if another one has taken it meanwhile.';
COMMENT ON COLUMN registrations.username_canonical IS 'As in users.';
COMMENT ON COLUMN registrations.name IS 'As in users.';
COMMENT ON COLUMN registrations.password_hash IS 'As in users.';
COMMENT ON COLUMN registrations.created_at IS 'When it was asked for.';
COMMENT ON COLUMN registrations.expires_at IS 'When it is forgotten.';

CREATE TABLE challenges (
    id uuid NOT NULL,
    purpose text NOT NULL,
    user_id uuid,
    registration_id uuid,
    email text NOT NULL,
    email_canonical text NOT NULL,
    token_hash bytea,
    code_hash bytea,
    tries smallint NOT NULL DEFAULT 0,
    created_at timestamptz NOT NULL,
    code_expires_at timestamptz,
    expires_at timestamptz NOT NULL,
    consumed_at timestamptz,
    CONSTRAINT challenges_pkey PRIMARY KEY (id),
    CONSTRAINT challenges_token_hash_key UNIQUE (token_hash),
    CONSTRAINT challenges_user_id_fkey FOREIGN KEY (user_id) REFERENCES users (id) ON DELETE CASCADE,
    CONSTRAINT challenges_registration_id_fkey FOREIGN KEY (registration_id) REFERENCES registrations (id) ON DELETE CASCADE,
    CONSTRAINT challenges_subject_check CHECK ((user_id IS NULL) <> (registration_id IS NULL)),
    CONSTRAINT challenges_tries_check CHECK (tries BETWEEN 0 AND 5),
    CONSTRAINT challenges_purpose_check CHECK (purpose IN
        ('confirm-email', 'reset-password', 'change-password', 'change-email', 'undo-email-change'))
);
CREATE INDEX challenges_user_id_idx ON challenges (user_id, purpose);
CREATE INDEX challenges_registration_id_idx ON challenges (registration_id);
CREATE INDEX challenges_email_idx ON challenges (email_canonical, purpose);
CREATE INDEX challenges_expires_at_idx ON challenges (expires_at);

COMMENT ON TABLE challenges IS 'What a person proves by mail, once, with a link or a code. A live undo-email-change also reserves its address.';
COMMENT ON COLUMN challenges.id IS 'UUIDv7.';
COMMENT ON COLUMN challenges.purpose IS 'What it is good for, and nothing else.';
COMMENT ON COLUMN challenges.user_id IS 'Whose it is; null while there is only a registration.';
COMMENT ON COLUMN challenges.registration_id IS 'The registration that it confirms.';
COMMENT ON COLUMN challenges.email IS 'Where it is mailed.';
COMMENT ON COLUMN challenges.email_canonical IS 'The same in its canonical form.';
COMMENT ON COLUMN challenges.token_hash IS 'SHA-256 of the token in the link; null until the mail is made.';
COMMENT ON COLUMN challenges.code_hash IS 'HMAC-SHA-256 of id and code under a key derived from SECRET_KEY; null until the mail is made, or without a code.';
COMMENT ON COLUMN challenges.tries IS 'Codes that were tried; after five, none is right any more.';
COMMENT ON COLUMN challenges.created_at IS 'When it was asked for.';
COMMENT ON COLUMN challenges.code_expires_at IS 'When the code stops working.';
COMMENT ON COLUMN challenges.expires_at IS 'When the link stops working and the row is forgotten.';
COMMENT ON COLUMN challenges.consumed_at IS 'When it was used.';

-- An address that was changed stays reserved while its owner can undo the change. An insertion of
-- it can only get here after the change has committed (users_email_key makes it wait), and a new
-- statement of READ COMMITTED then sees the reservation: there is no race. Times are compared with
-- the row's own, which come from the server's clock.
CREATE FUNCTION refuse_reserved_email() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (
        SELECT FROM challenges
        WHERE purpose = 'undo-email-change' AND email_canonical = NEW.email_canonical
            AND user_id <> NEW.id AND consumed_at IS NULL AND expires_at > NEW.updated_at
    ) THEN
        RAISE EXCEPTION 'the address is reserved'
            USING ERRCODE = 'unique_violation', CONSTRAINT = 'users_email_reserved';
    END IF;
    RETURN NULL;
END
$$;

CREATE TRIGGER users_email_reserved AFTER INSERT OR UPDATE OF email_canonical ON users
    FOR EACH ROW EXECUTE FUNCTION refuse_reserved_email();
