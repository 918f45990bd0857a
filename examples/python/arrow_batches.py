"""Clean a file of JSON lines batch by batch, on two threads."""

from pathlib import Path

import pyarrow as pa

import pinhost

root = Path(__file__).parents[2]
rule = pinhost.Rule(root / "pipelines/rules/pin.yaml")

with open(root / "tests/data/pin.ndjson", "rb") as posts:
    rows = rule.clean_json(posts, threads=2)
    table = pa.table(rows)

print(table.num_rows, table.column_names[:3])
print(rows.counts)

# prints
# 471 ['ind', 'unique_id', 'title']
# <Counts: 471 records, 471 rows, 0 rejected, 0 dropped>
