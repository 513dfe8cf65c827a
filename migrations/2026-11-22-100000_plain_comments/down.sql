COMMENT ON TABLE alerts IS 'Who gets a mail when a number of a coin crosses a threshold; at most 50 a user.';
COMMENT ON COLUMN alerts.user_id IS 'Who gets the mail.';
COMMENT ON COLUMN alerts.metric IS 'Which number: price, sentiment or popularity.';
COMMENT ON COLUMN alerts.currency IS 'ISO 4217 code of a price''s threshold; null for the others.';
COMMENT ON COLUMN alerts.threshold IS 'What is crossed.';
COMMENT ON COLUMN alerts.hysteresis IS 'How far behind the threshold the number must go before it can cross again.';
COMMENT ON COLUMN alerts.once IS 'Whether the first crossing is the last.';
COMMENT ON COLUMN alerts.armed IS 'Whether the next number beyond the threshold is a crossing.';
COMMENT ON COLUMN alerts.created_at IS 'When it was asked for.';
COMMENT ON COLUMN alerts.crossed_at IS 'When the threshold was crossed last.';

COMMENT ON COLUMN blocklist.session_id IS 'The sid claim that is refused. No foreign key: the session is gone.';
COMMENT ON COLUMN blocklist.expires_at IS 'When no token of the session can be valid any more.';

COMMENT ON TABLE budgets IS 'Limits that hold over all replicas and restarts: guesses at passwords and codes, mails to an address. Metered by GCRA.';
COMMENT ON COLUMN budgets.key IS 'The first 128 bits of an HMAC of the limit and of whom it limits, under a key derived from SECRET_KEY.';
COMMENT ON COLUMN budgets.free_at IS 'When all that was spent will have been earned back; the row is removed then.';

COMMENT ON TABLE challenges IS 'What a person proves by mail, once, with a link or a code. A live undo-email-change also reserves its address.';
COMMENT ON COLUMN challenges.purpose IS 'What it is good for, and nothing else.';
COMMENT ON COLUMN challenges.user_id IS 'Whose it is; null while there is only a registration.';
COMMENT ON COLUMN challenges.registration_id IS 'The registration that it confirms.';
COMMENT ON COLUMN challenges.email IS 'Where it is mailed.';
COMMENT ON COLUMN challenges.email_canonical IS 'The same in its canonical form.';
COMMENT ON COLUMN challenges.token_hash IS 'SHA-256 of the token in the link; null until the mail is made.';
COMMENT ON COLUMN challenges.code_hash IS 'HMAC-SHA-256 of id and code under a key derived from SECRET_KEY; null until the mail is made, or without a code.';
COMMENT ON COLUMN challenges.tries IS 'Wrong codes that were tried; from a limit on that depends on the length of the code, none is right any more.';
COMMENT ON COLUMN challenges.created_at IS 'When it was asked for.';
COMMENT ON COLUMN challenges.expires_at IS 'When the link stops working and the row is forgotten.';

COMMENT ON TABLE coin_history IS 'Snapshots rolled up by hour (kept 90 days) and UTC day (kept for good), per currency, since highs and lows do not convert. Rows: snapshots coins*2016 (7 days of 5 minutes); hours coins*currencies*2160; days coins*currencies*365 a year. 20 coins and one currency: 40,320 + 43,200 + 7,300 a year.';
COMMENT ON COLUMN coin_history.volume_24h IS 'Mean of volume_24h.';
COMMENT ON COLUMN coin_history.market_cap IS 'Mean of market_cap.';
COMMENT ON COLUMN coin_history.sentiment IS 'Mean of sentiment.';
COMMENT ON COLUMN coin_history.popularity IS 'Mean of popularity.';
COMMENT ON COLUMN coin_history.samples IS 'Snapshots in the interval.';
COMMENT ON COLUMN coin_history.volume_24h_samples IS 'Snapshots in the interval that have volume_24h: the weight of its mean.';
COMMENT ON COLUMN coin_history.market_cap_samples IS 'Snapshots in the interval that have market_cap: the weight of its mean.';
COMMENT ON COLUMN coin_history.sentiment_samples IS 'Snapshots in the interval that have sentiment: the weight of its mean.';
COMMENT ON COLUMN coin_history.popularity_samples IS 'Snapshots in the interval that have popularity: the weight of its mean.';

COMMENT ON TABLE coin_quotes IS 'What a snapshot says of a coin. Double precision: providers send JSON numbers, which are doubles.';
COMMENT ON COLUMN coin_quotes.volume_24h IS 'Traded in the last 24 hours.';
COMMENT ON COLUMN coin_quotes.sentiment IS 'Mean VADER compound of the posts of this slot, -1 to 1; null without a fresh one.';
COMMENT ON COLUMN coin_quotes.popularity IS 'Posting rate of this slot as a ratio to bitcoin''s; null without a fresh one.';

COMMENT ON TABLE coin_refs IS 'What each provider calls a coin.';
COMMENT ON COLUMN coin_refs.provider IS 'Such as coinmarketcap.';
COMMENT ON COLUMN coin_refs.provider_coin_id IS 'The provider''s id, as text.';
COMMENT ON COLUMN coin_refs.coin_id IS 'The coin it means.';

COMMENT ON TABLE coin_rollups IS 'How far the roll-ups are; what is not rolled up yet is not pruned.';
COMMENT ON COLUMN coin_rollups.step_seconds IS 'As in coin_history.';
COMMENT ON COLUMN coin_rollups.done_until IS 'Every interval that ended by then is in coin_history.';

COMMENT ON TABLE coin_snapshots IS 'Each complete sync; the newest is what the API serves, the rest is history.';
COMMENT ON COLUMN coin_snapshots.id IS 'Grows with time.';
COMMENT ON COLUMN coin_snapshots.provider IS 'Who reported.';
COMMENT ON COLUMN coin_snapshots.fetched_at IS 'When we read it.';

COMMENT ON TABLE coin_social IS 'What people say about each coin, as it is served; changes in the commit of a snapshot.';
COMMENT ON COLUMN coin_social.as_of IS 'When its sources were last read.';
COMMENT ON COLUMN coin_social.social IS 'The block "social" of the API.';

COMMENT ON TABLE coins IS 'Coins as Mintage knows them, whoever reports on them.';
COMMENT ON COLUMN coins.id IS 'Our own id: ticker symbols are not unique.';
COMMENT ON COLUMN coins.named_by IS 'Whose symbol, name and slug these are, as in coin_refs.provider: the others do not rename the coin.';

COMMENT ON TABLE job_schedules IS 'Periodic jobs: whoever moves a row to the current slot enqueues the job.';

COMMENT ON TABLE jobs IS 'Work to be done, enqueued with the commit that asks for it. A job that was done is deleted.';
COMMENT ON COLUMN jobs.id IS 'UUIDv7, in the order of enqueueing; the Message-ID of a mail comes from it.';
COMMENT ON COLUMN jobs.kind IS 'Which code runs it; a replica leaves kinds that it does not know.';
COMMENT ON COLUMN jobs.payload IS 'What the code is given; no secrets.';
COMMENT ON COLUMN jobs.state IS 'waiting: until due_at; running: under a lease; dead: given up, until an admin retries it.';
COMMENT ON COLUMN jobs.attempts IS 'Runs so far; fencing: only the run with this number may end the job.';
COMMENT ON COLUMN jobs.max_attempts IS 'After so many failed runs it is dead.';
COMMENT ON COLUMN jobs.due_at IS 'May be claimed after this; while it runs, the end of the lease.';
COMMENT ON COLUMN jobs.last_error IS 'Why the last run failed, without addresses.';
COMMENT ON COLUMN jobs.last_error_at IS 'When that was.';
COMMENT ON COLUMN jobs.created_at IS 'When it was enqueued.';

COMMENT ON TABLE login_networks IS 'Where a user has logged in lately. Wrong passwords that come from elsewhere do not stop a log-in from there.';
COMMENT ON COLUMN login_networks.user_id IS 'Who logged in.';
COMMENT ON COLUMN login_networks.last_used_at IS 'The last log-in; the row is removed after 30 days, or when the user has 20 newer ones.';

COMMENT ON TABLE provider_state IS 'Back-off per provider; here, because the replica that syncs changes.';
COMMENT ON COLUMN provider_state.provider IS 'Such as coinmarketcap.';
COMMENT ON COLUMN provider_state.failures IS 'Failures since the last success.';
COMMENT ON COLUMN provider_state.retry_at IS 'Not asked again before.';
COMMENT ON COLUMN provider_state.stopped IS 'Not asked again until an operator has acted (key, plan, quota) and restarted.';
COMMENT ON COLUMN provider_state.last_success_at IS 'When it last answered well.';
COMMENT ON COLUMN provider_state.last_error IS 'What was wrong the last time.';
COMMENT ON COLUMN provider_state.last_error_at IS 'When that was.';
COMMENT ON COLUMN provider_state.usage_day IS 'The UTC day that used counts.';
COMMENT ON COLUMN provider_state.used IS 'Credits (CoinMarketCap) or calls on that day; counted before each call.';

COMMENT ON TABLE refresh_tokens IS 'The recent refresh tokens of each session, to tell a race or a lost response from reuse.';
COMMENT ON COLUMN refresh_tokens.session_id IS 'The session they continue.';
COMMENT ON COLUMN refresh_tokens.generation IS 'The token after n rotations has generation n.';
COMMENT ON COLUMN refresh_tokens.rotated_at IS 'When it was exchanged for the next generation.';
COMMENT ON COLUMN refresh_tokens.reissues IS '0: issued once. Else it was issued again after the grace period, and this counts how many generations in a row were, up to this one.';

COMMENT ON TABLE registrations IS 'Accounts-to-be that wait for their confirmation. Nothing in here is unique: whoever reads the mail of the address decides; if their passwords differ, none of them becomes the account''s.';
COMMENT ON COLUMN registrations.username IS 'As in users; the account starts without it if another one has taken it meanwhile, or if passwords differ.';
COMMENT ON COLUMN registrations.password_hash IS 'As in users, with a salt that all registrations of the address share.';
COMMENT ON COLUMN registrations.created_at IS 'When it was asked for.';
COMMENT ON COLUMN registrations.expires_at IS 'When it is forgotten.';

COMMENT ON TABLE sessions IS 'A live log-in. Ending a session deletes the row and puts its id in the blocklist.';
COMMENT ON COLUMN sessions.user_id IS 'Whose session.';
COMMENT ON COLUMN sessions.remember IS 'Whether the long lifetimes apply.';
COMMENT ON COLUMN sessions.user_agent IS 'User-Agent of the log-in or the last exchange of the newest refresh token, cut at 256 characters.';
COMMENT ON COLUMN sessions.address IS 'Client address of the log-in or the last exchange of the newest refresh token.';
COMMENT ON COLUMN sessions.seen_generation IS 'Newest generation whose access token was used: its response has arrived.';
COMMENT ON COLUMN sessions.access_expires_at IS 'When the last access token of this session has expired.';
COMMENT ON COLUMN sessions.expires_at IS 'Absolute limit: no refresh token lives longer.';
COMMENT ON COLUMN sessions.created_at IS 'When the person logged in.';
COMMENT ON COLUMN sessions.last_seen_at IS 'Last use of a token of this session, to the minute.';

COMMENT ON TABLE signing_keys IS 'The key ring: one next, one current, any number of retired Ed25519 keys.';
COMMENT ON COLUMN signing_keys.kid IS 'RFC 7638 thumbprint of the public key.';
COMMENT ON COLUMN signing_keys.state IS 'next: published, not yet used; current: signs; retired: only verifies.';
COMMENT ON COLUMN signing_keys.private_key IS 'PKCS#8, sealed by AES-256-GCM under a key derived from SECRET_KEY.';
COMMENT ON COLUMN signing_keys.created_at IS 'When it was generated.';
COMMENT ON COLUMN signing_keys.retired_at IS 'When it stopped signing; it goes once all it signed has expired.';

COMMENT ON TABLE snapshot_rates IS 'The currencies that a snapshot can be told in. Amounts are kept once, in the snapshot''s own currency (rate 1).';
COMMENT ON COLUMN snapshot_rates.rate IS 'Units of this currency for one of the snapshot''s.';
COMMENT ON COLUMN snapshot_rates.rated_at IS 'When the rate was read.';
COMMENT ON COLUMN snapshot_rates.percent_change_1h IS 'Change of the rate within an hour, in percent; null while our own history is shorter.';
COMMENT ON COLUMN snapshot_rates.percent_change_24h IS 'Change of the rate within 24 hours, in percent; null as above.';
COMMENT ON COLUMN snapshot_rates.percent_change_7d IS 'Change of the rate within 7 days, in percent; null as above.';

COMMENT ON TABLE social_cursors IS 'How far each source has been read for each coin.';
COMMENT ON COLUMN social_cursors.source IS 'x, bluesky, or mastodon:<host> for an instance.';
COMMENT ON COLUMN social_cursors.cursor IS 'The newest post that was read, in the source''s own terms.';
COMMENT ON COLUMN social_cursors.covered_since IS 'No post after this and before covered_until was missed.';
COMMENT ON COLUMN social_cursors.counted_posts IS 'Posts as the source itself counts them; null where it does not.';
COMMENT ON COLUMN social_cursors.counted_hours IS 'The hours that counted_posts were published in.';

COMMENT ON TABLE social_posts IS 'What the newest English posts about a coin score; of ids, texts and authors only hashes under a key from SECRET_KEY are kept. At most 100 a coin and provider, of 7 days.';
COMMENT ON COLUMN social_posts.provider IS 'Where it was published: x, mastodon or bluesky.';
COMMENT ON COLUMN social_posts.posted_at IS 'When it was published.';
COMMENT ON COLUMN social_posts.text_hash IS 'HMAC of the coin and the normalised text: the same text counts once a coin.';
COMMENT ON COLUMN social_posts.compound IS 'VADER compound of the text, -1 to 1.';
COMMENT ON COLUMN social_posts.basic IS 'The basic score of the text, -1 to 1.';
COMMENT ON COLUMN social_posts.post_hash IS 'HMAC of its id there: a post counts once.';
COMMENT ON COLUMN social_posts.author_hash IS 'HMAC of the coin, the hour and the author: an author counts once an hour and coin.';

COMMENT ON TABLE social_streams IS 'Which replica reads a stream: one at a time.';
COMMENT ON COLUMN social_streams.source IS 'bluesky.';
COMMENT ON COLUMN social_streams.holder IS 'The process that reads it.';
COMMENT ON COLUMN social_streams.lease_until IS 'Another replica may take over after this.';
COMMENT ON COLUMN social_streams.cursor IS 'The newest event that is written down, in microseconds of Unix time.';

COMMENT ON TABLE social_tries IS 'When each source was last asked about each coin, whatever came of it: the coin that waits longest is next.';
COMMENT ON COLUMN social_tries.source IS 'x, or mastodon:<host> for an instance.';
COMMENT ON COLUMN social_tries.tried_at IS 'When it was asked.';

COMMENT ON TABLE sync_slots IS 'One row a slot of the sync schedule: which replica runs it, under which lease.';
COMMENT ON COLUMN sync_slots.holder IS 'The process that claimed it.';
COMMENT ON COLUMN sync_slots.lease_until IS 'Another replica may claim an unfinished slot after this.';
COMMENT ON COLUMN sync_slots.attempt IS 'Fencing: only the claim with this number may finish the slot.';
COMMENT ON COLUMN sync_slots.running IS 'Whether its holder is at work; one slot at most is.';
COMMENT ON COLUMN sync_slots.requested IS 'Whether an admin asked for it; its slot is the time of asking.';
COMMENT ON COLUMN sync_slots.provider IS 'Who reported in the end.';

COMMENT ON TABLE users IS 'Who exists. Ids are UUIDv7, so their order is the order of registration.';
COMMENT ON COLUMN users.email IS 'As the person wrote it, trimmed; where mail goes.';
COMMENT ON COLUMN users.email_canonical IS 'Trimmed, NFKC, lower case, domain in IDNA A-labels; what is unique.';
COMMENT ON COLUMN users.username IS 'Optional second way to log in, as the person wrote it.';
COMMENT ON COLUMN users.username_canonical IS 'Lower case; what is unique.';
COMMENT ON COLUMN users.role IS 'user or admin; carried in access tokens, so a change must end the sessions.';
COMMENT ON COLUMN users.version IS 'Grows with each change; the ETag.';
COMMENT ON COLUMN users.email_confirmed_at IS 'When the person last proved to read mail at this address; null: never.';
COMMENT ON COLUMN users.email_changed_at IS 'When the account last got another address; null: never, or an operator or the reader of the mail has taken the account over since.';

COMMENT ON TABLE watchlist IS 'The coins that users watch; at most 250 each.';
COMMENT ON COLUMN watchlist.user_id IS 'Who watches.';
COMMENT ON COLUMN watchlist.added_at IS 'Since when.';
