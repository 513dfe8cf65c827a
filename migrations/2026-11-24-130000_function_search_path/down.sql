ALTER FUNCTION refuse_reserved_email() RESET search_path;
ALTER FUNCTION security_events_guard() RESET search_path;
ALTER FUNCTION api_keys_notify() RESET search_path;
