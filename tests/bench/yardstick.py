#!/usr/bin/env python3
"""One job, file to file: pinhost beside a plain Rust program and Polars.

    python3 tests/bench/yardstick.py [--posts N] [--rounds N]

The job: posts whose placeholders become null, whose follower counts become numbers, whose tags become a
list, whose places lose their prefix. Runs take turns, so that a busy machine is busy for all of them; what
counts are the ratios. CPU is user and system time of the process and its children.
"""

import shutil
import subprocess
import sys
from statistics import median

from common import FOLDER, HERE, TARGET, built, cargo, many_posts, options, run


def main():
    arguments = options(__doc__, posts=1_000_000, rounds=5)
    posts = many_posts(arguments.posts)
    pinhost = built(arguments.debug)
    # The profile of plugins is the one that makes the fastest program.
    cargo("build", "--profile", "plugin", "--package", "plain")
    plain = TARGET / "plugin" / "plain"
    python = polars()

    out = FOLDER / "out"

    def by_pinhost(form, threads=()):
        environment = {"POSTS": str(posts), "ROWS": str(out)}
        command = [*threads, pinhost, "run", "--until-end", HERE / f"{form}.yaml"]
        return command, environment

    runs = {
        "pinhost, NDJSON": by_pinhost("ndjson"),
        "plain Rust, NDJSON": ([plain, posts, out.with_suffix(".ndjson")], {}),
        "Polars, NDJSON": ([python, HERE / "polars_job.py", posts, out.with_suffix(".ndjson")], {}),
        "pinhost, Parquet": by_pinhost("parquet"),
        "Polars, Parquet": ([python, HERE / "polars_job.py", posts, out.with_suffix(".parquet")], {}),
        "pinhost, NDJSON, one core": by_pinhost("ndjson", ["taskset", "--cpu-list", "0"]),
    }
    measured = {name: [] for name in runs}
    for turn in range(arguments.rounds):
        for name, (command, environment) in runs.items():
            for old in FOLDER.glob("out*"):
                shutil.rmtree(old) if old.is_dir() else old.unlink()
            measured[name].append(run(command, environment))
            print(f"\r{turn + 1}/{arguments.rounds} {name:<30}", end="", file=sys.stderr)
    print("\r" + " " * 40 + "\r", end="", file=sys.stderr)
    told(arguments.posts, measured)


def polars():
    venv = FOLDER / "venv"
    python = venv / "bin" / "python"
    if not (venv / "ready").exists():
        subprocess.run([sys.executable, "-m", "venv", "--clear", venv], check=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", "polars~=2.1"], check=True)
        (venv / "ready").touch()
    return python


def told(posts, measured):
    wall, cpu, peak = (
        {name: reduce(used[at] for used in runs) for name, runs in measured.items()}
        for at, reduce in ((0, median), (1, median), (2, max))
    )
    print(f"{posts:,} posts, median of {len(next(iter(measured.values())))} runs\n")
    print("| | rows a second | CPU µs a row | peak MB |\n|---|---:|---:|---:|")
    for name in measured:
        print(f"| {name} | {posts / wall[name]:,.0f} | {cpu[name] / posts * 1e6:.2f} | {peak[name]:.0f} |")
    print()
    best = {name: min(used.seconds for used in runs) for name, runs in measured.items()}
    for what, ratio, bar in (
        ("CPU, pinhost / plain Rust, NDJSON", cpu["pinhost, NDJSON"] / cpu["plain Rust, NDJSON"], "≤ 1.0"),
        ("CPU, pinhost / Polars, NDJSON", cpu["pinhost, NDJSON"] / cpu["Polars, NDJSON"], "≤ 0.8"),
        ("CPU, pinhost / Polars, Parquet", cpu["pinhost, Parquet"] / cpu["Polars, Parquet"], "≤ 0.8"),
        ("two cores / one core, best runs", best["pinhost, NDJSON, one core"] / best["pinhost, NDJSON"], "≥ 1.6"),
        ("peak MB, NDJSON", peak["pinhost, NDJSON"], "≤ 150"),
        ("peak MB, Parquet", peak["pinhost, Parquet"], "≤ 150"),
    ):
        print(f"{what:<40} {ratio:8.2f}   (bar: {bar})")


if __name__ == "__main__":
    main()
