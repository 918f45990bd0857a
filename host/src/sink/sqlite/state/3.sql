-- What pipelines found out about generations, one after the other: the last one of a generation counts.
CREATE TABLE pinhost_verdict (
    id INTEGER PRIMARY KEY,
    pipeline TEXT NOT NULL,
    generation TEXT NOT NULL,
    verdict TEXT NOT NULL,
    reason TEXT,
    time TEXT NOT NULL
);
CREATE INDEX pinhost_verdict_pipeline ON pinhost_verdict (pipeline, id);
