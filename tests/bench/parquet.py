#!/usr/bin/env python3
"""NDJSON through four plugins into Parquet with zstd, beside the Parquet encoder alone.

    python3 tests/bench/parquet.py [--posts N] [--rounds N] [--debug]

The encoder is given the rows that pinhost made, from memory, and has one core for itself. pinhost reads
one large file, and its time is that of the whole process less that of one that finds nothing to do. Runs
take turns; what counts is the ratio.
"""

import shutil
from statistics import median

from common import FOLDER, HERE, bench, built, many_posts, options, seconds_of_work

BAR = 0.8


def main():
    arguments = options(__doc__, posts=2_000_000, rounds=3)
    pinhost = built(arguments.debug)
    command = [pinhost, "run", "--until-end", HERE / "parquet-zstd.yaml"]
    rows = FOLDER / "parquet"
    environment = {"POSTS": str(many_posts(arguments.posts)), "ROWS": str(rows)}
    ours, alone = [], []
    for _ in range(arguments.rounds):
        shutil.rmtree(rows, ignore_errors=True)
        ours.append(arguments.posts / seconds_of_work(command, environment))
        said = bench("parquet", arguments.debug, rows, 3)
        alone.append(max(float(line.split()[0]) for line in said.splitlines()))
    ours, alone = median(ours), median(alone)
    print(f"{arguments.posts:,} posts, median of {arguments.rounds} runs\n")
    print("| | rows a second |\n|---|---:|")
    print(f"| pinhost, NDJSON to Parquet | {ours:,.0f} |")
    print(f"| Parquet encoder alone, one core | {alone:,.0f} |\n")
    print(f"pinhost / encoder {ours / alone:8.2f}   (bar: ≥ {BAR})")


if __name__ == "__main__":
    main()
