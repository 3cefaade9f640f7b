-- What many entries have in common: who asked for what, and where it was served. `id` is a hash of the rest.
CREATE TABLE facets (
    id           INTEGER PRIMARY KEY,
    app          TEXT NOT NULL,
    class        TEXT NOT NULL,
    labels       TEXT,
    upstream     TEXT NOT NULL,
    account      TEXT NOT NULL,
    account_key  TEXT NOT NULL,
    endpoint     TEXT NOT NULL,
    model        TEXT NOT NULL,
    sent_model   TEXT NOT NULL,
    served_model TEXT,
    tier         TEXT
);
-- One attempt at a provider. It is written when it is sent, and booked when it is over: until then `booked_ms`
-- is null. `run` is the program's start that sent it, `seq` its number there. Times are milliseconds, `_ms` of
-- moments since 1970-01-01 UTC. An unknown cost is null, never zero.
CREATE TABLE entries (
    run          BIGINT NOT NULL,
    seq          BIGINT NOT NULL,
    facet        BIGINT NOT NULL,
    request      TEXT   NOT NULL,
    attempt      BIGINT NOT NULL,
    provider_id  TEXT,
    sent_ms      BIGINT NOT NULL,
    queued_ms    BIGINT NOT NULL,
    waited_for   TEXT,
    est_input    BIGINT NOT NULL,
    est_output   BIGINT,
    est_method   TEXT   NOT NULL,
    booked_ms    BIGINT,
    first_ms     BIGINT,
    total_ms     BIGINT,
    status       BIGINT,
    ending       TEXT,
    method       TEXT,
    input        BIGINT NOT NULL,
    cached       BIGINT NOT NULL,
    cache_write  BIGINT NOT NULL,
    output       BIGINT NOT NULL,
    reasoning    BIGINT NOT NULL,
    input_audio  BIGINT NOT NULL,
    input_image  BIGINT NOT NULL,
    output_audio BIGINT NOT NULL,
    output_image BIGINT NOT NULL,
    cached_audio BIGINT NOT NULL,
    cached_image BIGINT NOT NULL,
    cache_write_long BIGINT NOT NULL,
    heard_ms     BIGINT NOT NULL,
    spoken       BIGINT NOT NULL,
    images       BIGINT NOT NULL,
    searches     BIGINT NOT NULL,
    cost_pico    BIGINT,
    PRIMARY KEY (run, seq)
) WITHOUT ROWID;
CREATE INDEX entries_by_booking ON entries (booked_ms, run);
