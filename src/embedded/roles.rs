//! The roles of the cluster: the superuser, the owner of the database, and the role that the server works with.
//!
//! A superuser can read files and run programs, so whatever gets a statement of its own into the database would have the
//! rights of postgres' account as well. `initdb` makes the superuser, which is left for administration. The owner
//! migrates the database. The server works with the rights of `db::rights`. Clusters from before these roles were there
//! are handed over to them.

use diesel::{Connection as _, PgConnection, connection::SimpleConnection as _};

use super::EmbeddedError;
use crate::db::rights;

/// Made by `initdb`; the name of the database as well.
pub(super) const SUPERUSER: &str = "mintage";
pub(super) const OWNER: &str = "mintage_owner";
pub(super) const SERVER: &str = "mintage_server";

/// Does nothing where all is as it should be. Sequences and indexes follow their tables.
const HAND_OVER: &str = "\
DO $$
DECLARE
    statement text;
    role text;
    ours CONSTANT oid := 'public'::regnamespace;
    former oid[];
BEGIN
    FOREACH role IN ARRAY '{mintage_owner,mintage_server}'::text[] LOOP
        IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = role) THEN
            EXECUTE format('CREATE ROLE %I LOGIN', role);
        END IF;
    END LOOP;
    former := ARRAY[current_user::regrole, 'mintage_server'::regrole];
    FOR statement IN
        SELECT format('ALTER DATABASE %I OWNER TO mintage_owner', datname)
        FROM pg_database WHERE datname = current_database() AND datdba = ANY (former)
        UNION ALL
        SELECT format('ALTER TABLE %s OWNER TO mintage_owner', c.oid::regclass)
        FROM pg_class c
        WHERE c.relnamespace = ours AND c.relowner = ANY (former) AND c.relkind IN ('r', 'p', 'v', 'm', 'S')
        AND NOT EXISTS (SELECT FROM pg_depend d
                        WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype IN ('a', 'i'))
        UNION ALL
        SELECT format('ALTER ROUTINE %s OWNER TO mintage_owner', oid::regprocedure)
        FROM pg_proc WHERE pronamespace = ours AND proowner = ANY (former)
        UNION ALL
        SELECT format('ALTER TYPE %s OWNER TO mintage_owner', oid::regtype)
        FROM pg_type WHERE typnamespace = ours AND typowner = ANY (former) AND typtype IN ('d', 'e')
    LOOP
        EXECUTE statement;
    END LOOP;
    IF has_schema_privilege('public', 'public', 'CREATE') THEN
        REVOKE CREATE ON SCHEMA public FROM PUBLIC;
    END IF;
    GRANT CREATE, USAGE ON SCHEMA public TO mintage_owner;
END $$;
";

/// Makes the roles, gives the owner what another of them owns in the database, and the server its rights.
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
        .map_err(|error| failed(error.to_string()))?;
    rights::grant(&mut conn, SERVER).map_err(|error| failed(format!("{error:#}")))?;
    Ok(())
}
