"""Clean Polars frames, eager and lazy."""

from pathlib import Path

import polars as pl

import pinhost

root = Path(__file__).parents[2]
rule = pinhost.Rule(root / "pipelines/rules/pin.yaml")
posts = pl.read_ndjson(root / "tests/data/pin.ndjson")

clean = pl.DataFrame(rule.clean(posts))
print(clean.shape, clean["follower_count"].dtype)

# Within a query, batch by batch. Polars has to know the columns beforehand.
schema = pl.DataFrame(rule.clean(posts.clear())).schema
query = posts.lazy().map_batches(lambda batch: pl.DataFrame(rule.clean(batch)), schema=schema)
print(query.filter(pl.col("follower_count") > 1_000_000).select(pl.len()).collect().item())

# prints
# (471, 11) Int64
# 31
