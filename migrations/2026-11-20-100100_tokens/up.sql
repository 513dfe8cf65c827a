CREATE TABLE sessions (
    id uuid NOT NULL,
    user_id uuid NOT NULL,
    remember boolean NOT NULL,
    user_agent text,
    address inet,
    generation integer NOT NULL DEFAULT 0,
    seen_generation integer NOT NULL DEFAULT -1,
    access_expires_at timestamptz NOT NULL,
    refresh_expires_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    created_at timestamptz NOT NULL,
    last_seen_at timestamptz NOT NULL,
    CONSTRAINT sessions_pkey PRIMARY KEY (id),
    CONSTRAINT sessions_user_id_fkey FOREIGN KEY (user_id) REFERENCES users (id) ON DELETE CASCADE
) WITH (fillfactor = 80);
-- No index holds a column that a refresh changes, so that its update stays within the page.
CREATE INDEX sessions_user_id_idx ON sessions (user_id);
CREATE INDEX sessions_expires_at_idx ON sessions (expires_at);

COMMENT ON TABLE sessions IS 'A live log-in. Ending a session deletes the row and puts its id in the blocklist.';
COMMENT ON COLUMN sessions.id IS 'UUIDv7; the sid claim.';
COMMENT ON COLUMN sessions.user_id IS 'Whose session.';
COMMENT ON COLUMN sessions.remember IS 'Whether the long lifetimes apply.';
COMMENT ON COLUMN sessions.user_agent IS 'User-Agent of the log-in or the last refresh, cut at 256 characters.';
COMMENT ON COLUMN sessions.address IS 'Client address of the log-in or the last refresh.';
COMMENT ON COLUMN sessions.generation IS 'Number of the newest refresh token, counted from 0.';
COMMENT ON COLUMN sessions.seen_generation IS 'Newest generation whose access token was used: its response has arrived.';
COMMENT ON COLUMN sessions.access_expires_at IS 'When the last access token of this session has expired.';
COMMENT ON COLUMN sessions.refresh_expires_at IS 'When the newest refresh token expires.';
COMMENT ON COLUMN sessions.expires_at IS 'Absolute limit: no refresh token lives longer.';
COMMENT ON COLUMN sessions.created_at IS 'When the person logged in.';
COMMENT ON COLUMN sessions.last_seen_at IS 'Last use of a token of this session, to the minute.';

CREATE TABLE refresh_tokens (
    session_id uuid NOT NULL,
    generation integer NOT NULL,
    id uuid NOT NULL,
    issued_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    rotated_at timestamptz,
    CONSTRAINT refresh_tokens_pkey PRIMARY KEY (session_id, generation),
    CONSTRAINT refresh_tokens_session_id_fkey FOREIGN KEY (session_id) REFERENCES sessions (id) ON DELETE CASCADE
);

COMMENT ON TABLE refresh_tokens IS 'The recent refresh tokens of each session, to tell a race or a lost response from reuse.';
COMMENT ON COLUMN refresh_tokens.session_id IS 'The session they continue.';
COMMENT ON COLUMN refresh_tokens.generation IS 'The token after n rotations has generation n.';
COMMENT ON COLUMN refresh_tokens.id IS 'The jti claim.';
COMMENT ON COLUMN refresh_tokens.issued_at IS 'The iat claim.';
COMMENT ON COLUMN refresh_tokens.expires_at IS 'The exp claim.';
COMMENT ON COLUMN refresh_tokens.rotated_at IS 'When it was exchanged for the next generation.';

CREATE TABLE blocklist (
    session_id uuid NOT NULL,
    expires_at timestamptz NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT blocklist_pkey PRIMARY KEY (session_id)
);
CREATE INDEX blocklist_expires_at_idx ON blocklist (expires_at);

COMMENT ON TABLE blocklist IS 'Ended sessions, until the last of their access tokens has expired.';
COMMENT ON COLUMN blocklist.session_id IS 'The sid claim that is refused. No foreign key: the session is gone.';
COMMENT ON COLUMN blocklist.expires_at IS 'When no token of the session can be valid any more.';
COMMENT ON COLUMN blocklist.created_at IS 'When the session ended.';

CREATE TABLE signing_keys (
    kid text NOT NULL,
    state text NOT NULL,
    private_key bytea NOT NULL,
    created_at timestamptz NOT NULL,
    retired_at timestamptz,
    CONSTRAINT signing_keys_pkey PRIMARY KEY (kid),
    CONSTRAINT signing_keys_state_check CHECK (state IN ('next', 'current', 'retired')),
    CONSTRAINT signing_keys_retired_check CHECK ((state = 'retired') = (retired_at IS NOT NULL))
);
CREATE UNIQUE INDEX signing_keys_one_next_idx ON signing_keys (state) WHERE state IN ('next', 'current');

COMMENT ON TABLE signing_keys IS 'The key ring: one next, one current, any number of retired Ed25519 keys.';
COMMENT ON COLUMN signing_keys.kid IS 'RFC 7638 thumbprint of the public key.';
COMMENT ON COLUMN signing_keys.state IS 'next: published, not yet used; current: signs; retired: only verifies.';
COMMENT ON COLUMN signing_keys.private_key IS 'PKCS#8, sealed by AES-256-GCM under a key derived from SECRET_KEY.';
COMMENT ON COLUMN signing_keys.created_at IS 'When it was generated.';
COMMENT ON COLUMN signing_keys.retired_at IS 'When it stopped signing; it goes once all it signed has expired.';
