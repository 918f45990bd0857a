-- What pipelines found out about generations, one after the other: the last one of a generation counts.
CREATE TABLE pinhost.verdict (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    pipeline text NOT NULL,
    generation text NOT NULL,
    verdict text NOT NULL,
    reason text,
    time timestamptz NOT NULL
);
CREATE INDEX verdict_pipeline ON pinhost.verdict (pipeline, id);
