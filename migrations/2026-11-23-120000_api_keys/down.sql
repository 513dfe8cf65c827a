DROP TABLE api_key_usage, api_keys;
DROP FUNCTION api_keys_notify;
