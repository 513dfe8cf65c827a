//! The role that the server works with: it owns its database and has no other rights.
//!
//! A superuser can read files and run programs, so whatever gets a statement of its own into the
//! database would have the rights of postgres' account as well. `initdb` makes the superuser, which
//! is left for administration; clusters from before this role was there are handed over to it.

use diesel::{Connection as _, PgConnection, connection::SimpleConnection as _};

use super::EmbeddedError;

/// Made by `initdb`; the name of the database as well.
pub(super) const SUPERUSER: &str = "mintage";
pub(super) const SERVER: &str = "mintage_server";

/// Does nothing where all is as it should be. Sequences and indexes follow their tables.
const HAND_OVER: &str = "\
DO $$
DECLARE
    statement text;
    ours CONSTANT oid := 'public'::regnamespace;
    superuser CONSTANT oid := current_user::regrole;
BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'mintage_server') THEN
        CREATE ROLE mintage_server LOGIN;
    END IF;
    FOR statement IN
        SELECT format('ALTER DATABASE %I OWNER TO mintage_server', datname)
        FROM pg_database WHERE datname = current_database() AND datdba = superuser
        UNION ALL
        SELECT format('ALTER TABLE %s OWNER TO mintage_server', c.oid::regclass)
        FROM pg_class c
        WHERE c.relnamespace = ours AND c.relowner = superuser AND c.relkind IN ('r', 'p', 'v', 'm', 'S')
        AND NOT EXISTS (SELECT FROM pg_depend d
                        WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype IN ('a', 'i'))
        UNION ALL
        SELECT format('ALTER ROUTINE %s OWNER TO mintage_server', oid::regprocedure)
        FROM pg_proc WHERE pronamespace = ours AND proowner = superuser
        UNION ALL
        SELECT format('ALTER TYPE %s OWNER TO mintage_server', oid::regtype)
        FROM pg_type WHERE typnamespace = ours AND typowner = superuser AND typtype IN ('d', 'e')
    LOOP
        EXECUTE statement;
    END LOOP;
END $$;
";

/// Makes the server's role and gives it what the superuser owns in its database.
pub(super) fn settle(admin_url: &str) -> Result<(), EmbeddedError> {
    let failed = |cause: String| {
        let cause = cause.split_whitespace().collect::<Vec<_>>().join(" ");
        EmbeddedError::Roles { cause }
    };
    let mut conn = PgConnection::establish(&format!("{admin_url}&connect_timeout=10"))
        .map_err(|error| failed(error.to_string()))?;
    // A server that is still running on an adopted cluster may hold locks.
    conn.batch_execute("SET lock_timeout = '10s'")
        .and_then(|()| conn.batch_execute(HAND_OVER))
        .map_err(|error| failed(error.to_string()))
}
