-- What `tokens::rotation::RotateNewest` does, with the sweep of every fourth on its own.
-- Each client knows its session and counts its generations, as a holder of tokens does.
\if :g = 0
SELECT id, user_id FROM bench_sessions WHERE n = :client_id + 1 \gset s_
\endif
WITH session AS (UPDATE sessions SET generation = generation + 1, seen_generation = greatest(seen_generation, -1), access_expires_at = greatest(access_expires_at, now()), refresh_expires_at = least(expires_at, CASE WHEN remember THEN now() ELSE now() END), last_seen_at = now(), user_agent = 'bench', address = '127.0.0.1' WHERE id = :s_id::uuid AND user_id = :s_user_id::uuid AND generation = :g AND EXISTS (SELECT FROM refresh_tokens WHERE session_id = :s_id::uuid AND generation = :g) RETURNING id, user_id, generation, refresh_expires_at), old AS (UPDATE refresh_tokens AS t SET rotated_at = now() FROM session WHERE t.session_id = session.id AND t.generation = session.generation - 1), new AS (INSERT INTO refresh_tokens (session_id, generation, id, issued_at, expires_at) SELECT id, generation, gen_random_uuid(), now(), refresh_expires_at FROM session) SELECT refresh_expires_at, role FROM session JOIN users ON users.id = user_id;
\if :g % 4 = 3
DELETE FROM refresh_tokens WHERE session_id = :s_id::uuid AND rotated_at < now();
\endif
\set g :g + 1
