DROP TABLE alerts;
DROP TABLE watchlist;
