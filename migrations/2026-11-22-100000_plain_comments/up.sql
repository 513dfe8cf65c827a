-- Describes tables and columns in plain English, also in databases that exist already.

COMMENT ON TABLE alerts IS 'A user''s request for a mail when a number of a coin crosses a threshold; at most 50 per user.';
COMMENT ON COLUMN alerts.user_id IS 'The user who gets the mail.';
COMMENT ON COLUMN alerts.metric IS 'The number that is watched: price, sentiment or popularity.';
COMMENT ON COLUMN alerts.currency IS 'ISO 4217 code of a price threshold; null for other metrics.';
COMMENT ON COLUMN alerts.threshold IS 'The value that the number must reach.';
COMMENT ON COLUMN alerts.hysteresis IS 'How far the number must move back across the threshold before it can cross it again.';
COMMENT ON COLUMN alerts.once IS 'Whether only the first crossing sends a mail.';
COMMENT ON COLUMN alerts.armed IS 'Whether the next number beyond the threshold counts as a crossing.';
COMMENT ON COLUMN alerts.created_at IS 'When the alert was created.';
COMMENT ON COLUMN alerts.crossed_at IS 'When the threshold was last crossed; null: never.';

COMMENT ON COLUMN blocklist.session_id IS 'Id of the ended session, the sid claim of its tokens. No foreign key: the session row is deleted.';
COMMENT ON COLUMN blocklist.expires_at IS 'When the last access token of the session has expired; the row is deleted then.';

COMMENT ON TABLE budgets IS 'Rate limits that hold over all replicas and restarts: guesses at passwords and codes, mails to an address. Counted by GCRA (ITU-T I.371).';
COMMENT ON COLUMN budgets.key IS 'First 128 bits of an HMAC of the name of the limit and of the limited account, address or network, under a key derived from SECRET_KEY.';
COMMENT ON COLUMN budgets.free_at IS 'When the full budget is available again; the row is deleted then.';

COMMENT ON TABLE challenges IS 'Links and codes sent by mail, with which a user proves once to receive mail at an address. A valid undo-email-change also reserves its address.';
COMMENT ON COLUMN challenges.purpose IS 'The one action that the challenge allows, such as reset-password.';
COMMENT ON COLUMN challenges.user_id IS 'The user that the challenge belongs to; null for a registration, which has no user yet.';
COMMENT ON COLUMN challenges.registration_id IS 'The registration that the challenge confirms; null for other purposes.';
COMMENT ON COLUMN challenges.email IS 'The address to which the link and the code are mailed.';
COMMENT ON COLUMN challenges.email_canonical IS 'email in the form of users.email_canonical.';
COMMENT ON COLUMN challenges.token_hash IS 'SHA-256 of the token in the link; null until the mail is written.';
COMMENT ON COLUMN challenges.code_hash IS 'HMAC-SHA-256 of the id and the code under a key derived from SECRET_KEY; null until the mail is written, and for challenges without a code.';
COMMENT ON COLUMN challenges.tries IS 'Number of wrong codes that were entered. At a limit that depends on the length of the code, the code stops working.';
COMMENT ON COLUMN challenges.created_at IS 'When the challenge was requested.';
COMMENT ON COLUMN challenges.expires_at IS 'When the link stops working; the row is deleted then.';

COMMENT ON TABLE coin_history IS 'Aggregates of snapshots by hour (kept for 90 days) and by UTC day (kept for ever), for each currency, because highs and lows cannot be converted. Number of rows: snapshots coins*2016 (7 days of 5 minutes); hours coins*currencies*2160; days coins*currencies*365 a year. With 20 coins and one currency: 40,320 + 43,200 + 7,300 a year.';
COMMENT ON COLUMN coin_history.volume_24h IS 'Mean of volume_24h over the snapshots of the interval.';
COMMENT ON COLUMN coin_history.market_cap IS 'Mean of market_cap over the snapshots of the interval.';
COMMENT ON COLUMN coin_history.sentiment IS 'Mean of sentiment over the snapshots of the interval.';
COMMENT ON COLUMN coin_history.popularity IS 'Mean of popularity over the snapshots of the interval.';
COMMENT ON COLUMN coin_history.samples IS 'Number of snapshots in the interval.';
COMMENT ON COLUMN coin_history.volume_24h_samples IS 'Number of snapshots in the interval with a volume_24h; the weight of its mean.';
COMMENT ON COLUMN coin_history.market_cap_samples IS 'Number of snapshots in the interval with a market_cap; the weight of its mean.';
COMMENT ON COLUMN coin_history.sentiment_samples IS 'Number of snapshots in the interval with a sentiment; the weight of its mean.';
COMMENT ON COLUMN coin_history.popularity_samples IS 'Number of snapshots in the interval with a popularity; the weight of its mean.';

COMMENT ON TABLE coin_quotes IS 'The numbers of a coin in a snapshot. Double precision, because providers send JSON numbers, which are doubles.';
COMMENT ON COLUMN coin_quotes.volume_24h IS 'Trading volume of the last 24 hours.';
COMMENT ON COLUMN coin_quotes.sentiment IS 'Mean VADER compound score of the posts about the coin, -1 to 1; null without a recent value.';
COMMENT ON COLUMN coin_quotes.popularity IS 'Ratio of the coin''s posts per hour to those of bitcoin; null without a recent value.';

COMMENT ON TABLE coin_refs IS 'The id of each coin at each provider.';
COMMENT ON COLUMN coin_refs.provider IS 'Name of the provider, such as coinmarketcap.';
COMMENT ON COLUMN coin_refs.provider_coin_id IS 'The provider''s id of the coin, as text.';
COMMENT ON COLUMN coin_refs.coin_id IS 'The coin that the id belongs to.';

COMMENT ON TABLE coin_rollups IS 'How far snapshots have been aggregated into coin_history. Snapshots after that are not deleted.';
COMMENT ON COLUMN coin_rollups.step_seconds IS 'Length of the interval, as in coin_history.';
COMMENT ON COLUMN coin_rollups.done_until IS 'Every interval that ended at or before this time is in coin_history.';

COMMENT ON TABLE coin_snapshots IS 'Results of complete syncs. The API serves the newest; the others are history.';
COMMENT ON COLUMN coin_snapshots.id IS 'Increases with time.';
COMMENT ON COLUMN coin_snapshots.provider IS 'The market data provider of the snapshot.';
COMMENT ON COLUMN coin_snapshots.fetched_at IS 'When the data was fetched.';

COMMENT ON TABLE coin_social IS 'Social figures of each coin as the API serves them; changed in the transaction that publishes them.';
COMMENT ON COLUMN coin_social.as_of IS 'When the sources were last read for this coin.';
COMMENT ON COLUMN coin_social.social IS 'The member "social" of the coin in API responses.';

COMMENT ON TABLE coins IS 'All known coins. A coin keeps its id when the market data provider changes.';
COMMENT ON COLUMN coins.id IS 'Our own id, because ticker symbols are not unique.';
COMMENT ON COLUMN coins.named_by IS 'The provider (as in coin_refs.provider) that gave symbol, name and slug; other providers do not change them.';

COMMENT ON TABLE job_schedules IS 'Periodic jobs. The replica that moves a row to the current slot enqueues the job.';

COMMENT ON TABLE jobs IS 'Queue of background jobs. A job is enqueued in the transaction that causes it and deleted when it has succeeded.';
COMMENT ON COLUMN jobs.id IS 'UUIDv7, in the order of enqueueing. The Message-ID of a mail is derived from it.';
COMMENT ON COLUMN jobs.kind IS 'Kind of the job, which selects the code that runs it. A replica does not claim kinds that it does not know.';
COMMENT ON COLUMN jobs.payload IS 'Parameters of the job; no secrets.';
COMMENT ON COLUMN jobs.state IS 'waiting: until due_at; running: under a lease; dead: failed for good, until an admin retries it.';
COMMENT ON COLUMN jobs.attempts IS 'Number of runs so far. Also the fencing token: only the run with this number may end the job.';
COMMENT ON COLUMN jobs.max_attempts IS 'Number of failed runs after which the job is dead.';
COMMENT ON COLUMN jobs.due_at IS 'The earliest time to claim the job; while it runs, the end of the lease.';
COMMENT ON COLUMN jobs.last_error IS 'Error of the last failed run, without addresses.';
COMMENT ON COLUMN jobs.last_error_at IS 'When the last failed run ended.';
COMMENT ON COLUMN jobs.created_at IS 'When the job was enqueued.';

COMMENT ON TABLE login_networks IS 'Networks from which a user has logged in recently. Wrong passwords from other networks do not block log-ins from these.';
COMMENT ON COLUMN login_networks.user_id IS 'The user who logged in.';
COMMENT ON COLUMN login_networks.last_used_at IS 'Time of the last log-in from the network. The row is deleted after 30 days, or when the user has 20 newer ones.';

COMMENT ON TABLE provider_state IS 'Back-off and usage of each market data provider, shared by all replicas because any of them may run the next sync.';
COMMENT ON COLUMN provider_state.provider IS 'Name of the provider, such as coinmarketcap.';
COMMENT ON COLUMN provider_state.failures IS 'Number of failures since the last success.';
COMMENT ON COLUMN provider_state.retry_at IS 'The provider is not called before this time.';
COMMENT ON COLUMN provider_state.stopped IS 'Whether calls have stopped until an operator fixes the cause (key, plan, quota) and restarts the server.';
COMMENT ON COLUMN provider_state.last_success_at IS 'Time of the last successful call.';
COMMENT ON COLUMN provider_state.last_error IS 'Error of the last failed call.';
COMMENT ON COLUMN provider_state.last_error_at IS 'Time of the last failed call.';
COMMENT ON COLUMN provider_state.usage_day IS 'The UTC day that the column used refers to.';
COMMENT ON COLUMN provider_state.used IS 'Credits (CoinMarketCap) or calls used on usage_day, counted before each call.';

COMMENT ON TABLE refresh_tokens IS 'Recent refresh tokens of each session. They distinguish parallel refreshes and lost responses from reuse.';
COMMENT ON COLUMN refresh_tokens.session_id IS 'The session of the token.';
COMMENT ON COLUMN refresh_tokens.generation IS 'Number of exchanges before this token was issued; 0 for the first one.';
COMMENT ON COLUMN refresh_tokens.rotated_at IS 'When the token was exchanged for the next generation; null if it was not.';
COMMENT ON COLUMN refresh_tokens.reissues IS '0 if the token was issued once. Otherwise it was issued again after the grace period, and this is the number of consecutive generations, including this one, to which that happened.';

COMMENT ON TABLE registrations IS 'Registrations that wait for confirmation. They reserve neither address nor username, so several may have the same. Confirming the address creates the account; if the passwords of several registrations differ, it takes none of them.';
COMMENT ON COLUMN registrations.username IS 'As in users. The account starts without it if the name has been taken meanwhile, or if the passwords differ.';
COMMENT ON COLUMN registrations.password_hash IS 'As in users, with a salt shared by all registrations of the address.';
COMMENT ON COLUMN registrations.created_at IS 'When the registration was requested.';
COMMENT ON COLUMN registrations.expires_at IS 'When the registration expires; the row is deleted then.';

COMMENT ON TABLE sessions IS 'Active log-ins. Ending a session deletes its row and adds its id to the blocklist.';
COMMENT ON COLUMN sessions.user_id IS 'The user who is logged in.';
COMMENT ON COLUMN sessions.remember IS 'Whether the long lifetimes apply ("remember" at the log-in).';
COMMENT ON COLUMN sessions.user_agent IS 'User-Agent of the log-in, or of the last exchange of the newest refresh token; truncated to 256 characters.';
COMMENT ON COLUMN sessions.address IS 'Client address of the log-in, or of the last exchange of the newest refresh token.';
COMMENT ON COLUMN sessions.seen_generation IS 'Newest generation whose access token was used, which proves that the response with it has arrived.';
COMMENT ON COLUMN sessions.access_expires_at IS 'When the last access token of the session expires.';
COMMENT ON COLUMN sessions.expires_at IS 'When the session ends at the latest; no refresh token is valid longer.';
COMMENT ON COLUMN sessions.created_at IS 'When the user logged in.';
COMMENT ON COLUMN sessions.last_seen_at IS 'When a token of the session was last used, to the minute.';

COMMENT ON TABLE signing_keys IS 'The Ed25519 signing keys: one next, one current, any number of retired ones.';
COMMENT ON COLUMN signing_keys.kid IS 'Id of the key: the RFC 7638 thumbprint of the public key.';
COMMENT ON COLUMN signing_keys.state IS 'next: published, does not sign yet; current: signs; retired: verifies only.';
COMMENT ON COLUMN signing_keys.private_key IS 'Private key in PKCS#8, encrypted with AES-256-GCM under a key derived from SECRET_KEY.';
COMMENT ON COLUMN signing_keys.created_at IS 'When the key was generated.';
COMMENT ON COLUMN signing_keys.retired_at IS 'When the key stopped signing. It is deleted when all tokens that it signed have expired.';

COMMENT ON TABLE snapshot_rates IS 'Exchange rates of each snapshot. Amounts are stored once, in the snapshot''s own currency (rate 1), and converted when read.';
COMMENT ON COLUMN snapshot_rates.rate IS 'Units of this currency per unit of the snapshot''s currency.';
COMMENT ON COLUMN snapshot_rates.rated_at IS 'When the rate was fetched.';
COMMENT ON COLUMN snapshot_rates.percent_change_1h IS 'Change of the rate within an hour, in percent; null while the stored history is shorter.';
COMMENT ON COLUMN snapshot_rates.percent_change_24h IS 'Change of the rate within 24 hours, in percent; null while the stored history is shorter.';
COMMENT ON COLUMN snapshot_rates.percent_change_7d IS 'Change of the rate within 7 days, in percent; null while the stored history is shorter.';

COMMENT ON TABLE social_cursors IS 'How far each social source has been read for each coin.';
COMMENT ON COLUMN social_cursors.source IS 'Name of the source: x, bluesky, or mastodon:<host> for an instance.';
COMMENT ON COLUMN social_cursors.cursor IS 'Position of the newest post that was read, in the format of the source.';
COMMENT ON COLUMN social_cursors.covered_since IS 'All posts between this time and covered_until have been read.';
COMMENT ON COLUMN social_cursors.counted_posts IS 'Number of posts according to the source itself; null if it does not count them.';
COMMENT ON COLUMN social_cursors.counted_hours IS 'Length of the time, in hours, in which counted_posts were published.';

COMMENT ON TABLE social_posts IS 'Scores of the newest English posts about each coin, at most 100 per coin and provider, of the last 7 days. Ids, texts and authors are stored only as hashes under a key derived from SECRET_KEY.';
COMMENT ON COLUMN social_posts.provider IS 'The network that the post was published on: x, mastodon or bluesky.';
COMMENT ON COLUMN social_posts.posted_at IS 'When the post was published.';
COMMENT ON COLUMN social_posts.text_hash IS 'HMAC of the coin and the normalised text; the same text counts once per coin.';
COMMENT ON COLUMN social_posts.compound IS 'VADER compound score of the text, -1 to 1.';
COMMENT ON COLUMN social_posts.basic IS 'Basic score of the text, -1 to 1.';
COMMENT ON COLUMN social_posts.post_hash IS 'HMAC of the post''s id on the network; a post counts once.';
COMMENT ON COLUMN social_posts.author_hash IS 'HMAC of the coin, the hour and the author; an author counts once per hour and coin.';

COMMENT ON TABLE social_streams IS 'The replica that reads each stream; only one reads it at a time.';
COMMENT ON COLUMN social_streams.source IS 'Name of the stream: bluesky.';
COMMENT ON COLUMN social_streams.holder IS 'Id of the process that reads the stream.';
COMMENT ON COLUMN social_streams.lease_until IS 'Another replica may take over after this time.';
COMMENT ON COLUMN social_streams.cursor IS 'Time of the newest event that is stored, in microseconds since the Unix epoch.';

COMMENT ON TABLE social_tries IS 'When each source was last queried for each coin, with or without success. The coin that has waited longest is next.';
COMMENT ON COLUMN social_tries.source IS 'Name of the source: x, or mastodon:<host> for an instance.';
COMMENT ON COLUMN social_tries.tried_at IS 'When the source was last queried for the coin.';

COMMENT ON TABLE sync_slots IS 'Slots of the sync schedule: the replica that runs each one, and its lease.';
COMMENT ON COLUMN sync_slots.holder IS 'Id of the process that claimed the slot.';
COMMENT ON COLUMN sync_slots.lease_until IS 'Another replica may claim the slot after this time, if it is not finished.';
COMMENT ON COLUMN sync_slots.attempt IS 'Number of the claim. Also the fencing token: only the claim with this number may finish the slot.';
COMMENT ON COLUMN sync_slots.running IS 'Whether the slot is being run; at most one slot is.';
COMMENT ON COLUMN sync_slots.requested IS 'Whether an admin requested the sync; the slot is then the time of the request.';
COMMENT ON COLUMN sync_slots.provider IS 'The provider whose data was published; null if there was none.';

COMMENT ON TABLE users IS 'Accounts. Ids are UUIDv7, so they sort by registration time.';
COMMENT ON COLUMN users.email IS 'E-mail address as the user entered it, trimmed; mails are sent to it.';
COMMENT ON COLUMN users.email_canonical IS 'The address trimmed, in NFKC and lower case, with the domain in IDNA A-labels; unique.';
COMMENT ON COLUMN users.username IS 'Optional second name to log in with, as the user entered it.';
COMMENT ON COLUMN users.username_canonical IS 'The username in lower case; unique.';
COMMENT ON COLUMN users.role IS 'user or admin. Access tokens contain it, so a change must end the sessions.';
COMMENT ON COLUMN users.version IS 'Increases with each change; the source of the ETag.';
COMMENT ON COLUMN users.email_confirmed_at IS 'When the user last proved to receive mail at this address; null: never.';
COMMENT ON COLUMN users.email_changed_at IS 'When the address of the account was last changed; null: never, or an operator or the owner of the address has taken the account over since.';

COMMENT ON TABLE watchlist IS 'The coins that each user watches; at most 250 per user.';
COMMENT ON COLUMN watchlist.user_id IS 'The user who watches the coin.';
COMMENT ON COLUMN watchlist.added_at IS 'When the coin was added.';
