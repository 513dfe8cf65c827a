CREATE TABLE simulation (
    is_only boolean NOT NULL DEFAULT true,
    scenario text NOT NULL,
    speed bigint NOT NULL,
    seed bigint NOT NULL,
    began_at timestamptz NOT NULL,
    is_complete boolean NOT NULL DEFAULT false,
    CONSTRAINT simulation_pkey PRIMARY KEY (is_only),
    CONSTRAINT simulation_is_only_check CHECK (is_only)
);
COMMENT ON TABLE simulation IS 'The simulated market whose data this database holds: one row, or none. While there is one, there is no real market data; it is deleted with the simulated data before the first real snapshot is written.';
COMMENT ON COLUMN simulation.is_only IS 'Always true, so that there is at most one row.';
COMMENT ON COLUMN simulation.scenario IS 'SIMULATION_SCENARIO of the data.';
COMMENT ON COLUMN simulation.speed IS 'SIMULATION_SPEED of the data.';
COMMENT ON COLUMN simulation.seed IS 'SIMULATION_SEED of the data.';
COMMENT ON COLUMN simulation.began_at IS 'When the simulation began: scenarios are counted from then, and the history before it was written at once.';
COMMENT ON COLUMN simulation.is_complete IS 'Whether that history is written completely.';
