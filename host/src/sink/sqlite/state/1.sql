CREATE TABLE pinhost_meta (
    name TEXT NOT NULL PRIMARY KEY,
    value TEXT NOT NULL
) WITHOUT ROWID;

-- Where each lane stands, and the claim that may move it.
CREATE TABLE pinhost_position (
    pipeline TEXT NOT NULL,
    lane TEXT NOT NULL,
    -- A pipeline has one of each: what comes with another is refused.
    source TEXT NOT NULL,
    target TEXT NOT NULL COLLATE NOCASE,
    position TEXT NOT NULL,
    token TEXT NOT NULL,
    claimed TEXT NOT NULL,
    moved TEXT NOT NULL,
    -- So many of the next dead letters do not count.
    accepted_rejects INTEGER NOT NULL DEFAULT 0,
    -- Why the lane does not go on, until it does.
    halted TEXT,
    PRIMARY KEY (pipeline, lane)
) WITHOUT ROWID;

-- Which generation cleaned which range of a lane. No generation: a gap that somebody made.
CREATE TABLE pinhost_lineage (
    id INTEGER PRIMARY KEY,
    pipeline TEXT NOT NULL,
    lane TEXT NOT NULL,
    target TEXT NOT NULL COLLATE NOCASE,
    from_position TEXT NOT NULL,
    to_position TEXT NOT NULL,
    generation TEXT,
    read INTEGER NOT NULL,
    stored INTEGER NOT NULL,
    superseded INTEGER NOT NULL,
    dropped INTEGER NOT NULL,
    dead INTEGER NOT NULL,
    time TEXT NOT NULL,
    CHECK (read = stored + superseded + dropped + dead)
);
CREATE INDEX pinhost_lineage_lane ON pinhost_lineage (pipeline, lane);

CREATE TABLE pinhost_dead_letter (
    number INTEGER PRIMARY KEY,
    pipeline TEXT NOT NULL,
    id TEXT NOT NULL,
    lane TEXT NOT NULL,
    position TEXT NOT NULL,
    state TEXT NOT NULL,
    attempts INTEGER NOT NULL,
    time TEXT NOT NULL,
    step TEXT,
    reason TEXT NOT NULL,
    detail TEXT,
    generation TEXT NOT NULL,
    value BLOB,
    key BLOB,
    -- Pairs of a name and a value: a text, null, or {"hex": …} where it is no UTF-8.
    headers TEXT NOT NULL,
    timestamp_micros INTEGER,
    topic TEXT,
    partition INTEGER,
    UNIQUE (pipeline, id)
);
CREATE INDEX pinhost_dead_letter_time ON pinhost_dead_letter (pipeline, time);

CREATE TABLE pinhost_generation (
    digest TEXT NOT NULL PRIMARY KEY,
    resolved TEXT NOT NULL,
    -- Names and digests of its plugins.
    plugins TEXT NOT NULL,
    time TEXT NOT NULL
);

CREATE TABLE pinhost_plugin (
    digest TEXT NOT NULL PRIMARY KEY,
    bytes BLOB NOT NULL
);

CREATE TABLE pinhost_journal (
    pipeline TEXT NOT NULL,
    lane TEXT NOT NULL,
    number INTEGER NOT NULL,
    entry BLOB NOT NULL,
    PRIMARY KEY (pipeline, lane, number)
);

-- Versions of rows in tables that have no column for them.
CREATE TABLE pinhost_version (
    target TEXT NOT NULL COLLATE NOCASE,
    key BLOB NOT NULL,
    version BLOB NOT NULL,
    PRIMARY KEY (target, key)
) WITHOUT ROWID;
