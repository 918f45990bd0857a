CREATE TABLE pinhost.meta (
    name text NOT NULL PRIMARY KEY,
    value text NOT NULL
);

-- Where each lane stands, and the claim that may move it.
CREATE TABLE pinhost.position (
    pipeline text NOT NULL,
    lane text NOT NULL,
    -- A pipeline has one of each: what comes with another is refused.
    source text NOT NULL,
    target text NOT NULL,
    position text NOT NULL,
    token uuid NOT NULL,
    claimed timestamptz NOT NULL,
    moved timestamptz NOT NULL,
    -- Dead letters that somebody lets through, however many there are.
    accepted_rejects bigint NOT NULL DEFAULT 0,
    -- Why the lane does not go on, until it does.
    halted text,
    PRIMARY KEY (pipeline, lane)
    -- Updated by every commit: room for new versions of a row beside the old one.
) WITH (fillfactor = 50);

-- Which generation cleaned which range of a lane. No generation: a gap that somebody made.
CREATE TABLE pinhost.lineage (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    pipeline text NOT NULL,
    lane text NOT NULL,
    target text NOT NULL,
    from_position text NOT NULL,
    to_position text NOT NULL,
    generation text,
    read bigint NOT NULL,
    stored bigint NOT NULL,
    superseded bigint NOT NULL,
    dropped bigint NOT NULL,
    dead bigint NOT NULL,
    time timestamptz NOT NULL,
    CHECK (read = stored + superseded + dropped + dead)
) WITH (fillfactor = 50);
CREATE INDEX lineage_lane ON pinhost.lineage (pipeline, lane, id);

CREATE TABLE pinhost.dead_letter (
    number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    pipeline text NOT NULL,
    id text NOT NULL,
    lane text NOT NULL,
    position text NOT NULL,
    state text NOT NULL,
    attempts bigint NOT NULL,
    time timestamptz NOT NULL,
    step text,
    reason text NOT NULL,
    detail text,
    generation text NOT NULL,
    value bytea,
    key bytea,
    -- Pairs of a name and a value: a text, null, or {"hex": …} where it is no UTF-8.
    headers text NOT NULL,
    timestamp_micros bigint,
    topic text,
    partition bigint,
    UNIQUE (pipeline, id)
);
CREATE INDEX dead_letter_time ON pinhost.dead_letter (pipeline, time);

CREATE TABLE pinhost.generation (
    digest text NOT NULL PRIMARY KEY,
    resolved text NOT NULL,
    -- Names and digests of its plugins.
    plugins text NOT NULL,
    time timestamptz NOT NULL
);

CREATE TABLE pinhost.plugin (
    digest text NOT NULL PRIMARY KEY,
    bytes bytea NOT NULL
);

CREATE TABLE pinhost.journal (
    pipeline text NOT NULL,
    lane text NOT NULL,
    number bigint NOT NULL,
    entry bytea NOT NULL,
    PRIMARY KEY (pipeline, lane, number)
);

-- Versions of rows in tables that have no column for them.
CREATE TABLE pinhost.version (
    target text NOT NULL,
    key bytea NOT NULL,
    version bytea NOT NULL,
    PRIMARY KEY (target, key)
);
