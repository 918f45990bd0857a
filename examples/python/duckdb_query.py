"""Clean between two DuckDB queries."""

from pathlib import Path

import duckdb

import pinhost

root = Path(__file__).parents[2]
rule = pinhost.Rule(root / "pipelines/rules/pin.yaml")

con = duckdb.connect()
posts = con.sql(f"SELECT * FROM read_json('{root}/tests/data/pin.ndjson')")
rows = rule.clean(posts)
# It needs a cursor of its own, since the query that `rows` reads from is still open.
print(con.cursor().sql("SELECT count(*), count(follower_count) FROM rows").fetchall())

# prints
# [(471, 468)]
