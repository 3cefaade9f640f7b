-- Sums of what is booked, kept for ever: by hour (`span` 1) and by day (`span` 24) of UTC, facet and ending.
-- `hour` counts hours since 1970-01-01T00Z, of a day its first. `attempts` are all tries, `requests` first ones;
-- `unknown` are tries without a known cost, `unknown_tokens` their input and output. They are written with the
-- entries, in the same transaction.
CREATE TABLE rollups (
    span         BIGINT NOT NULL,
    hour         BIGINT NOT NULL,
    facet        BIGINT NOT NULL,
    ending       TEXT   NOT NULL,
    attempts     BIGINT NOT NULL,
    requests     BIGINT NOT NULL,
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
    cost_pico    BIGINT NOT NULL,
    unknown      BIGINT NOT NULL,
    unknown_tokens BIGINT NOT NULL,
    PRIMARY KEY (span, hour, facet, ending)
) WITHOUT ROWID;
INSERT INTO rollups
    SELECT 1, booked_ms / 3600000, facet, ending,
        COUNT(*), SUM(CASE WHEN attempt = 1 THEN 1 ELSE 0 END),
        SUM(input), SUM(cached), SUM(cache_write), SUM(output), SUM(reasoning),
        SUM(input_audio), SUM(input_image), SUM(output_audio), SUM(output_image),
        SUM(cached_audio), SUM(cached_image), SUM(cache_write_long),
        SUM(heard_ms), SUM(spoken), SUM(images), SUM(searches),
        COALESCE(SUM(cost_pico), 0),
        SUM(CASE WHEN cost_pico IS NULL THEN 1 ELSE 0 END),
        SUM(CASE WHEN cost_pico IS NULL THEN input + output ELSE 0 END)
    FROM entries WHERE booked_ms IS NOT NULL
    GROUP BY booked_ms / 3600000, facet, ending;
INSERT INTO rollups
    SELECT 24, hour / 24 * 24, facet, ending,
        SUM(attempts), SUM(requests),
        SUM(input), SUM(cached), SUM(cache_write), SUM(output), SUM(reasoning),
        SUM(input_audio), SUM(input_image), SUM(output_audio), SUM(output_image),
        SUM(cached_audio), SUM(cached_image), SUM(cache_write_long),
        SUM(heard_ms), SUM(spoken), SUM(images), SUM(searches),
        SUM(cost_pico), SUM(unknown), SUM(unknown_tokens)
    FROM rollups WHERE span = 1
    GROUP BY hour / 24, facet, ending;
-- Answers that went out while nothing could be booked, by the hour in which that was seen.
CREATE TABLE unbooked (
    hour    BIGINT PRIMARY KEY,
    answers BIGINT NOT NULL
);
