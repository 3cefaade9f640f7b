-- Runs of which copies of entries may lie beside the database: until those were stored, their entries are not deleted, as
-- a copy of one that is gone would count once more. Runs before this table was there have none.
CREATE TABLE open_runs (
    run      BIGINT PRIMARY KEY,
    begun_ms BIGINT NOT NULL
);
