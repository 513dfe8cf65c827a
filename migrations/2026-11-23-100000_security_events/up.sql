CREATE TABLE audit_chains (
    id integer GENERATED ALWAYS AS IDENTITY,
    sealed_key bytea NOT NULL,
    pruned_seq bigint NOT NULL DEFAULT 0,
    pruned_hash bytea NOT NULL,
    last_seq bigint NOT NULL DEFAULT 0,
    last_hash bytea NOT NULL,
    mac bytea NOT NULL,
    created_at timestamptz NOT NULL,
    CONSTRAINT audit_chains_pkey PRIMARY KEY (id),
    CONSTRAINT audit_chains_seq_check CHECK (pruned_seq BETWEEN 0 AND last_seq)
);

COMMENT ON TABLE audit_chains IS 'The ends of the hash chain over security_events. A new chain begins only when the key of the last one is lost.';
COMMENT ON COLUMN audit_chains.id IS 'Counts the chains.';
COMMENT ON COLUMN audit_chains.sealed_key IS 'The key of the HMACs of this chain, encrypted with a key derived from SECRET_KEY.';
COMMENT ON COLUMN audit_chains.pruned_seq IS 'The last event that was deleted because it was older than AUDIT_RETENTION; 0 if none.';
COMMENT ON COLUMN audit_chains.pruned_hash IS 'The hash of that event, where a verification begins.';
COMMENT ON COLUMN audit_chains.last_seq IS 'The newest event of the chain.';
COMMENT ON COLUMN audit_chains.last_hash IS 'The hash of that event, with which the next one is hashed.';
COMMENT ON COLUMN audit_chains.mac IS 'HMAC-SHA-256 of both ends, so that events cannot be cut off at an end without the key.';
COMMENT ON COLUMN audit_chains.created_at IS 'When the chain began.';

CREATE TABLE security_events (
    id uuid NOT NULL,
    at timestamptz NOT NULL,
    kind text NOT NULL,
    actor text NOT NULL,
    actor_id uuid,
    user_id uuid,
    session_id uuid,
    address inet,
    user_agent text,
    details jsonb NOT NULL DEFAULT '{}',
    salt bytea,
    erased_at timestamptz,
    chain integer,
    seq bigint,
    private_digest bytea,
    hash bytea,
    CONSTRAINT security_events_pkey PRIMARY KEY (id),
    CONSTRAINT security_events_seq_key UNIQUE (chain, seq),
    CONSTRAINT security_events_chain_fkey FOREIGN KEY (chain) REFERENCES audit_chains (id),
    CONSTRAINT security_events_actor_check CHECK (actor IN ('user', 'anonymous', 'operator', 'server')),
    CONSTRAINT security_events_actor_id_check CHECK ((actor = 'user') = (actor_id IS NOT NULL)),
    CONSTRAINT security_events_sealed_check
        CHECK (num_nulls(chain, seq, private_digest, hash) IN (0, 4)),
    CONSTRAINT security_events_erased_check CHECK ((erased_at IS NOT NULL) = (salt IS NULL))
);
CREATE INDEX security_events_unsealed_idx ON security_events (id) WHERE seq IS NULL;
CREATE INDEX security_events_user_id_idx ON security_events (user_id, id);
CREATE INDEX security_events_actor_id_idx ON security_events (actor_id, id) WHERE actor_id IS NOT NULL;
CREATE INDEX security_events_kind_idx ON security_events (kind, id);

COMMENT ON TABLE security_events IS 'The audit trail: what happened to accounts, keys and rights. Append-only; a trigger refuses other changes than sealing, erasing and pruning.';
COMMENT ON COLUMN security_events.id IS 'UUIDv7 of the time of the event.';
COMMENT ON COLUMN security_events.at IS 'When it happened.';
COMMENT ON COLUMN security_events.kind IS 'What happened, such as logged-in; docs/security.md lists the kinds.';
COMMENT ON COLUMN security_events.actor IS 'Who acted: a user, a person without a token, an operator at the command line, or the server itself.';
COMMENT ON COLUMN security_events.actor_id IS 'The user who acted. No foreign key: the event outlives the account.';
COMMENT ON COLUMN security_events.user_id IS 'The account that the event is about; null if there is none, as for a wrong password of an unknown address.';
COMMENT ON COLUMN security_events.session_id IS 'The session that was used or ended.';
COMMENT ON COLUMN security_events.address IS 'The client''s address. Erased with the account.';
COMMENT ON COLUMN security_events.user_agent IS 'The client''s User-Agent, cut at 256 characters. Erased with the account.';
COMMENT ON COLUMN security_events.details IS 'What else is known of it, without secrets and addresses. Erased with the account.';
COMMENT ON COLUMN security_events.salt IS '128 random bits, so that what was erased cannot be guessed from its digest.';
COMMENT ON COLUMN security_events.erased_at IS 'When address, user_agent, details and salt were erased.';
COMMENT ON COLUMN security_events.chain IS 'The chain that the event was sealed in; null until then, a few seconds after the event.';
COMMENT ON COLUMN security_events.seq IS 'Its place in the chain, counted from 1 without a gap.';
COMMENT ON COLUMN security_events.private_digest IS 'HMAC-SHA-256 of what can be erased, so that the chain still holds afterwards.';
COMMENT ON COLUMN security_events.hash IS 'HMAC-SHA-256 of this event and of the hash of the one before.';

CREATE FUNCTION security_events_guard() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    seal CONSTANT text[] := '{chain,seq,private_digest,hash}';
    private CONSTANT text[] := '{address,user_agent,details,salt,erased_at}';
BEGIN
    IF TG_OP = 'UPDATE' THEN
        IF OLD.seq IS NULL AND to_jsonb(NEW) - seal = to_jsonb(OLD) - seal THEN
            RETURN NEW;
        END IF;
        IF OLD.seq IS NOT NULL AND OLD.erased_at IS NULL AND NEW.erased_at IS NOT NULL
            AND num_nonnulls(NEW.address, NEW.user_agent, NEW.salt) = 0 AND NEW.details = '{}'
            AND to_jsonb(NEW) - private = to_jsonb(OLD) - private THEN
            RETURN NEW;
        END IF;
    ELSIF TG_OP = 'DELETE' THEN
        IF OLD.seq <= (SELECT pruned_seq FROM audit_chains WHERE id = OLD.chain) THEN
            RETURN OLD;
        END IF;
    END IF;
    RAISE EXCEPTION 'security_events is append-only' USING ERRCODE = 'insufficient_privilege';
END
$$;
COMMENT ON FUNCTION security_events_guard IS 'Refuses changes of the audit trail other than sealing, erasing and pruning.';

CREATE TRIGGER security_events_guard BEFORE UPDATE OR DELETE ON security_events
    FOR EACH ROW EXECUTE FUNCTION security_events_guard();
CREATE TRIGGER security_events_guard_truncate BEFORE TRUNCATE ON security_events
    FOR EACH STATEMENT EXECUTE FUNCTION security_events_guard();
