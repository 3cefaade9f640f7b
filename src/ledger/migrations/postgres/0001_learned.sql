-- What was learned of each lane: the quotas that one account grants one limit group.
-- `state` is JSON, read by version; `holders` are short hashes of the keys it was learned with.
-- `ended` is 1 where nothing was sent after the row was written.
CREATE TABLE learned (
    upstream    TEXT   NOT NULL,
    account     TEXT   NOT NULL,
    limit_group TEXT   NOT NULL,
    holders     TEXT   NOT NULL,
    version     BIGINT NOT NULL,
    state       TEXT   NOT NULL,
    ended       BIGINT NOT NULL,
    saved_at_ms BIGINT NOT NULL,
    PRIMARY KEY (upstream, account, limit_group)
);
