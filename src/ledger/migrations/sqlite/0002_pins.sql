-- Which account of which upstream an object (a file, a batch, a response, ...) belongs to.
-- `term_days` is how long after its last use the row is kept, `forget_at_ms` when that is over.
CREATE TABLE pins (
    upstream     TEXT   NOT NULL,
    id           TEXT   NOT NULL,
    account      TEXT   NOT NULL,
    term_days    BIGINT NOT NULL,
    forget_at_ms BIGINT NOT NULL,
    PRIMARY KEY (upstream, id)
);
CREATE INDEX pins_by_end ON pins (forget_at_ms);
