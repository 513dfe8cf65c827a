DROP TABLE security_events;
DROP FUNCTION security_events_guard;
DROP TABLE audit_chains;
