-- Loses: The simulated market with its history and posts, if there is one.
DELETE FROM coin_snapshots WHERE provider IN ('simulation', 'simulation-2');
DELETE FROM coin_history WHERE sources && ARRAY['simulation', 'simulation-2'];
DELETE FROM coin_rollups WHERE EXISTS (SELECT FROM simulation);
DELETE FROM coin_social WHERE EXISTS (SELECT FROM simulation);
DELETE FROM social_posts WHERE provider = 'simulation';
DELETE FROM social_hours WHERE source = 'simulation';
DELETE FROM social_cursors WHERE source = 'simulation';
DELETE FROM social_tries WHERE source = 'simulation';
DROP TABLE simulation;
