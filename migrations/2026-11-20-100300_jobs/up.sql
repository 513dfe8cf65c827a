CREATE TABLE jobs (
    id uuid NOT NULL,
    kind text NOT NULL,
    payload jsonb NOT NULL,
    state text NOT NULL DEFAULT 'waiting',
    attempts integer NOT NULL DEFAULT 0,
    max_attempts integer NOT NULL,
    due_at timestamptz NOT NULL,
    last_error text,
    last_error_at timestamptz,
    created_at timestamptz NOT NULL,
    CONSTRAINT jobs_pkey PRIMARY KEY (id),
    CONSTRAINT jobs_state_check CHECK (state IN ('waiting', 'running', 'dead')),
    CONSTRAINT jobs_last_error_check CHECK ((last_error IS NULL) = (last_error_at IS NULL))
);
CREATE INDEX jobs_due_at_idx ON jobs (due_at) WHERE state <> 'dead';
CREATE INDEX jobs_state_idx ON jobs (state, id);

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

CREATE TABLE job_schedules (
    name text NOT NULL,
    slot timestamptz NOT NULL,
    CONSTRAINT job_schedules_pkey PRIMARY KEY (name)
);

COMMENT ON TABLE job_schedules IS 'Periodic jobs: whoever moves a row to the current slot enqueues the job.';
COMMENT ON COLUMN job_schedules.name IS 'Name of the schedule.';
COMMENT ON COLUMN job_schedules.slot IS 'Start of the last slot whose job was enqueued.';
