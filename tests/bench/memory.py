#!/usr/bin/env python3
"""Peak memory does not grow with the number of records.

    python3 tests/bench/memory.py [--few N] [--many N]

Made-up posts go by the rule for posts to NDJSON on /dev/null, and into an SQLite table of a million keys.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent.parent
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
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--few", type=int, default=1_000_000)
    arguments.add_argument("--many", type=int, default=20_000_000)
    arguments = arguments.parse_args()

    target = Path(os.environ.get("CARGO_TARGET_DIR", REPOSITORY / "target"))
    cargo = [os.environ.get("CARGO", "cargo"), "build", "--release", "--locked", "--quiet"]
    subprocess.run(cargo, cwd=REPOSITORY, check=True)
    print("| | few, MB | many, MB | many / few (bar: ≤ 1.1) |\n|---|---:|---:|---:|")
    for name, sink in SINKS.items():
        few, many = (
            peak(target / "release" / "pinhost", sink, count)
            for count in (arguments.few, arguments.many)
        )
        print(f"| {name} | {few:.0f} | {many:.0f} | {many / few:.2f} |", flush=True)


def peak(pinhost, sink, count):
    with tempfile.TemporaryDirectory() as folder:
        pipeline = PIPELINE.format(count=count, rule=RULE, sink=sink)
        Path(folder, "memory.yaml").write_text(pipeline)
        process = subprocess.Popen(
            [pinhost, "run", "memory.yaml"],
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        _, status, used = os.wait4(process.pid, 0)
        if status != 0:
            sys.exit(f"pinhost failed with {os.waitstatus_to_exitcode(status)}")
        return used.ru_maxrss / 1024


if __name__ == "__main__":
    main()
