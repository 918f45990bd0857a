-- When a record deleted the row: its version is kept for a while, also where rows have a column for theirs.
ALTER TABLE pinhost_version ADD COLUMN deleted TEXT;
CREATE INDEX pinhost_version_deleted ON pinhost_version (target, deleted) WHERE deleted IS NOT NULL;
