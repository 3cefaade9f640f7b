-- The apps that `sluicegate apps` keeps. Of a key only its SHA-256 is here. An app that is revoked keeps its row, so
-- that the program goes on asking for keys; `marks` tells by a number that grows whether anything has changed.
CREATE TABLE apps (
    name       TEXT   NOT NULL,
    terms      TEXT   NOT NULL,
    made_ms    BIGINT NOT NULL,
    revoked_ms BIGINT,
    PRIMARY KEY (name)
);
CREATE TABLE app_keys (
    digest   TEXT   NOT NULL,
    app      TEXT   NOT NULL,
    made_ms  BIGINT NOT NULL,
    until_ms BIGINT,
    PRIMARY KEY (digest)
);
CREATE INDEX app_keys_by_app ON app_keys (app);
CREATE TABLE marks (
    name   TEXT   NOT NULL,
    number BIGINT NOT NULL,
    PRIMARY KEY (name)
);
