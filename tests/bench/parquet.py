#!/usr/bin/env python3
"""NDJSON through four plugins into Parquet with zstd, beside the Parquet encoder alone.

    python3 tests/bench/parquet.py [--posts N] [--rounds N] [--debug]

The encoder is given the rows that pinhost made, from memory, and has one core for itself. pinhost reads
one large file, and its time is that of the whole process less that of one that finds nothing to do. Runs
take turns; what counts is the ratio.
"""

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import time
from pathlib import Path

from replay import bench, binary
from yardstick import HERE, REPOSITORY, made

BAR = 0.8


def main():
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--posts", type=int, default=500_000)
    arguments.add_argument("--rounds", type=int, default=3)
    arguments.add_argument("--debug", action="store_true", help="only to see whether it works")
    arguments = arguments.parse_args()

    target = Path(os.environ.get("CARGO_TARGET_DIR", REPOSITORY / "target"))
    folder = target / "bench"
    folder.mkdir(parents=True, exist_ok=True)
    posts = made(folder / f"posts-{arguments.posts}.ndjson", arguments.posts)
    pinhost = binary(target, arguments.debug)
    ours, alone = [], []
    for _ in range(arguments.rounds):
        ours.append(arguments.posts / run(pinhost, posts, folder / "parquet"))
        said = bench("parquet", arguments.debug, os.environ, folder / "parquet", 3)
        alone.append(max(float(line.split()[0]) for line in said.splitlines()))
    ours, alone = statistics.median(ours), statistics.median(alone)
    print(f"{arguments.posts:,} posts, median of {arguments.rounds} runs\n")
    print("| | rows a second |\n|---|---:|")
    print(f"| pinhost, NDJSON to Parquet | {ours:,.0f} |")
    print(f"| Parquet encoder alone, one core | {alone:,.0f} |\n")
    print(f"pinhost / encoder {ours / alone:8.2f}   (bar: ≥ {BAR})")


def run(pinhost, posts, rows):
    shutil.rmtree(rows, ignore_errors=True)
    took = []
    for _ in range(2):
        began = time.monotonic()
        done = subprocess.run(
            [pinhost, "run", "--until-end", HERE / "parquet-zstd.yaml"],
            env={**os.environ, "POSTS": str(posts), "ROWS": str(rows)},
            stderr=subprocess.PIPE,
            text=True,
        )
        took.append(time.monotonic() - began)
        if done.returncode != 0:
            sys.exit(f"pinhost failed:\n{done.stderr}")
    return took[0] - took[1]


if __name__ == "__main__":
    main()
