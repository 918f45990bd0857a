-- When a record deleted the row: its version is kept for a while, also where rows have a column for theirs.
ALTER TABLE pinhost.version ADD COLUMN deleted timestamptz;
CREATE INDEX version_deleted ON pinhost.version (target, deleted) WHERE deleted IS NOT NULL;
