"""A rule as a function from batch to batch, for engines that call one: Ray's `map_batches`, Dask, a task queue.

The function is pickled with its rule, which a worker process loads once.
"""

import pickle
from functools import partial
from pathlib import Path

import pyarrow as pa
import pyarrow.json

import pinhost


def clean(batch: pa.Table, rule: pinhost.Rule) -> pa.Table:
    return pa.table(rule.clean(batch))


root = Path(__file__).parents[2]
function = partial(clean, rule=pinhost.Rule(root / "pipelines/rules/pin.yaml"))

# As an engine does in dataset.map_batches(function, batch_format="pyarrow")
sent = pickle.loads(pickle.dumps(function))
posts = pyarrow.json.read_json(root / "tests/data/pin.ndjson")
print(sum(sent(pa.table(batch)).num_rows for batch in [posts.slice(0, 200), posts.slice(200)]))

# prints
# 471
