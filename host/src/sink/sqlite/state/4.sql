-- What was decided when a pipeline first ran: the lanes that there were, and where each of them starts.
CREATE TABLE pinhost_first_run (
    pipeline TEXT NOT NULL PRIMARY KEY,
    decided TEXT NOT NULL,
    time TEXT NOT NULL
) WITHOUT ROWID;

-- A row for each process of a pipeline that has told that it is alive.
CREATE TABLE pinhost_member (
    pipeline TEXT NOT NULL,
    member TEXT NOT NULL,
    beat TEXT NOT NULL,
    note TEXT NOT NULL,
    PRIMARY KEY (pipeline, member)
) WITHOUT ROWID;

-- The process that made the claim.
ALTER TABLE pinhost_position ADD COLUMN member TEXT;
