#!/usr/bin/env python3
"""Peak memory does not grow with the number of records.

    python3 tests/bench/memory.py [--few N] [--many N]

Made-up posts go by the rule for posts to NDJSON on /dev/null, and into an SQLite table of a million keys.
"""

import tempfile
from pathlib import Path

from common import REPOSITORY, built, options, run

RULE = REPOSITORY / "pipelines" / "rules" / "pin.yaml"
SINKS = {
    "NDJSON to /dev/null": "{ stdout: {} }",
    "SQLite, a million keys": "{ sqlite: { path: pins.db, table: pin, key: [ind] } }",
}
PIPELINE = """\
name: memory
source: {{ generate: {{ profile: pin, count: {count}, keys: 1000000 }} }}
rule: {rule}
sink: {sink}
"""


def main():
    arguments = options(__doc__, few=1_000_000, many=20_000_000)
    pinhost = built(arguments.debug)
    print("| | few, MB | many, MB | many / few (bar: ≤ 1.1) |\n|---|---:|---:|---:|")
    for name, sink in SINKS.items():
        few, many = (peak(pinhost, sink, count) for count in (arguments.few, arguments.many))
        print(f"| {name} | {few:.0f} | {many:.0f} | {many / few:.2f} |", flush=True)


def peak(pinhost, sink, count):
    with tempfile.TemporaryDirectory() as folder:
        pipeline = PIPELINE.format(count=count, rule=RULE, sink=sink)
        Path(folder, "memory.yaml").write_text(pipeline)
        return run([pinhost, "run", "memory.yaml"], folder=folder).peak_mb


if __name__ == "__main__":
    main()
