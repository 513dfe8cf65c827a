CREATE TABLE users (
    id uuid NOT NULL,
    email text NOT NULL,
    email_canonical text NOT NULL,
    username text,
    username_canonical text,
    name text,
    role text NOT NULL DEFAULT 'user',
    password_hash text NOT NULL,
    version integer NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    CONSTRAINT users_pkey PRIMARY KEY (id),
    CONSTRAINT users_email_key UNIQUE (email_canonical),
    CONSTRAINT users_username_key UNIQUE (username_canonical),
    CONSTRAINT users_role_check CHECK (role IN ('user', 'admin')),
    CONSTRAINT users_username_check CHECK ((username IS NULL) = (username_canonical IS NULL))
);

-- Prefix search; the unique indexes only serve equality where the collation is not C.
CREATE INDEX users_email_prefix_idx ON users (email_canonical text_pattern_ops, id);
CREATE INDEX users_username_prefix_idx ON users (username_canonical text_pattern_ops, id);
CREATE INDEX users_name_prefix_idx ON users (lower(name) text_pattern_ops, id);
CREATE INDEX users_admins_idx ON users (id) WHERE role = 'admin';

COMMENT ON TABLE users IS 'Who exists. Ids are UUIDv7, so their order is the order of registration.';
COMMENT ON COLUMN users.id IS 'UUIDv7; the sub claim of this user''s tokens.';
COMMENT ON COLUMN users.email IS 'As the person wrote it, trimmed; where mail goes.';
COMMENT ON COLUMN users.email_canonical IS 'Trimmed, NFKC, lower case, domain in IDNA A-labels; what is unique.';
COMMENT ON COLUMN users.username IS 'Optional second way to log in, as the person wrote it.';
COMMENT ON COLUMN users.username_canonical IS 'Lower case; what is unique.';
COMMENT ON COLUMN users.name IS 'Display name.';
COMMENT ON COLUMN users.role IS 'user or admin; carried in access tokens, so a change must end the sessions.';
COMMENT ON COLUMN users.password_hash IS 'bcrypt of base64(HMAC-SHA-256(password)).';
COMMENT ON COLUMN users.version IS 'Grows with each change; the ETag.';
COMMENT ON COLUMN users.created_at IS 'When the account was registered.';
COMMENT ON COLUMN users.updated_at IS 'When the account was last changed.';
