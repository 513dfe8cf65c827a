CREATE TABLE global_figures (
    subject text NOT NULL,
    next_read_at timestamptz NOT NULL,
    source text,
    as_of timestamptz,
    figures jsonb,
    CONSTRAINT global_figures_pkey PRIMARY KEY (subject),
    CONSTRAINT global_figures_subject_check CHECK (subject IN ('market', 'fear_and_greed')),
    CONSTRAINT global_figures_source_check CHECK ((source IS NULL) = (as_of IS NULL) AND (source IS NULL) = (figures IS NULL))
);

COMMENT ON TABLE global_figures IS 'The last figures of the whole market that were read: one row for each subject.';
COMMENT ON COLUMN global_figures.subject IS 'market: figures of all coins, from a market data provider; fear_and_greed: an index of the mood of the market.';
COMMENT ON COLUMN global_figures.next_read_at IS 'Until then no replica reads it: while one is reading, for an hour after a success, and while no source may be called.';
COMMENT ON COLUMN global_figures.source IS 'The market data provider, or alternative.me; null as long as nothing was read.';
COMMENT ON COLUMN global_figures.as_of IS 'When the figures were current, according to the source.';
COMMENT ON COLUMN global_figures.figures IS 'The figures: amounts by ISO 4217 code, shares in percent; or the value of the index and its class.';
