-- What was decided when a pipeline first ran: the lanes that there were, and where each of them starts.
CREATE TABLE pinhost.first_run (
    pipeline text NOT NULL PRIMARY KEY,
    decided text NOT NULL,
    time timestamptz NOT NULL
);

-- A row for each process of a pipeline that has told that it is alive.
CREATE TABLE pinhost.member (
    pipeline text NOT NULL,
    member uuid NOT NULL,
    beat timestamptz NOT NULL,
    note text NOT NULL,
    PRIMARY KEY (pipeline, member)
    -- Updated every few seconds.
) WITH (fillfactor = 50);

-- The process that made the claim.
ALTER TABLE pinhost.position ADD COLUMN member uuid;
