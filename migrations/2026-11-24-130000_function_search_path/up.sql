-- A role that may create temporary tables could otherwise put one of its own in place of a table that a trigger reads.
ALTER FUNCTION refuse_reserved_email() SET search_path = pg_catalog, public, pg_temp;
ALTER FUNCTION security_events_guard() SET search_path = pg_catalog, public, pg_temp;
ALTER FUNCTION api_keys_notify() SET search_path = pg_catalog, public, pg_temp;
