ALTER TABLE users ADD COLUMN email_changed_at timestamptz;

COMMENT ON COLUMN users.email_changed_at IS 'When the account last got another address; null: never, or an operator or the reader of the mail has taken the account over since.';

-- As far as it is still known: each change has left the right to undo it, for 7 days.
UPDATE users SET email_changed_at = changes.at
FROM (
    SELECT user_id, max(created_at) AS at FROM challenges WHERE purpose = 'undo-email-change' GROUP BY user_id
) AS changes
WHERE changes.user_id = users.id;
