"""A rule between two queries of DuckDB's."""

from pathlib import Path

import duckdb

import pinhost

root = Path(__file__).parents[2]
rule = pinhost.Rule(root / "pipelines/rules/pin.yaml")

con = duckdb.connect()
posts = con.sql(f"SELECT * FROM read_json('{root}/tests/data/pin.ndjson')")
rows = rule.clean(posts)
# A cursor of its own: the query that `rows` reads from is still open.
print(con.cursor().sql("SELECT count(*), count(follower_count) FROM rows").fetchall())

# prints
# [(471, 468)]
