"""Clean a pandas frame."""

from pathlib import Path

import pandas as pd

import pinhost

root = Path(__file__).parents[2]
rule = pinhost.Rule(root / "pipelines/rules/pin.yaml")
posts = pd.read_json(root / "tests/data/pin.ndjson", lines=True)

clean = pd.DataFrame.from_arrow(rule.clean(posts))
print(clean.shape, clean["follower_count"].max())

# prints
# (471, 11) 8000000.0
