#!/usr/bin/env python3
"""One job, file to file: pinhost beside a plain Rust program and Polars.

    python3 tests/bench/yardstick.py [--posts N] [--rounds N]

The job: posts whose placeholders become null, whose follower counts become numbers, whose tags become a
list, whose places lose their prefix. Runs take turns, so that a busy machine is busy for all of them; what
counts are the ratios. CPU is user and system time of the process and its children.
"""

import argparse
import os
import re
import shutil
import statistics
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
REPOSITORY = HERE.parent.parent
POSTS = REPOSITORY / "tests" / "data" / "pin.ndjson"


def main():
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--posts", type=int, default=1_000_000)
    arguments.add_argument("--rounds", type=int, default=5)
    arguments = arguments.parse_args()

    target = Path(os.environ.get("CARGO_TARGET_DIR", REPOSITORY / "target"))
    folder = target / "bench"
    folder.mkdir(parents=True, exist_ok=True)
    posts = made(folder / f"posts-{arguments.posts}.ndjson", arguments.posts)
    pinhost, plain = built(target)
    python = polars(folder)

    out = folder / "out"

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
            for old in folder.glob("out*"):
                shutil.rmtree(old) if old.is_dir() else old.unlink()
            measured[name].append(measure(command, environment))
            print(f"\r{turn + 1}/{arguments.rounds} {name:<30}", end="", file=sys.stderr)
    print("\r" + " " * 40 + "\r", end="", file=sys.stderr)
    told(arguments.posts, measured)


def made(path, count):
    """Real posts over and over, each with an index of its own."""
    if path.exists():
        return path
    tails = [
        re.match(r'\{"index": \d+,(.*)', line)[1]
        for line in POSTS.read_text(encoding="utf-8").splitlines()
    ]
    new = path.with_suffix(".new")
    with new.open("w", encoding="utf-8") as file:
        for at in range(count):
            file.write(f'{{"index": {at},{tails[at % len(tails)]}\n')
    return new.rename(path)


def built(target):
    cargo = [os.environ.get("CARGO", "cargo"), "build", "--locked", "--quiet"]
    subprocess.run([*cargo, "--release"], cwd=REPOSITORY, check=True)
    # The profile of plugins is the one that makes the fastest program.
    subprocess.run([*cargo, "--profile", "plugin", "--package", "plain"], cwd=REPOSITORY, check=True)
    return target / "release" / "pinhost", target / "plugin" / "plain"


def polars(folder):
    venv = folder / "venv"
    python = venv / "bin" / "python"
    if not (venv / "ready").exists():
        subprocess.run([sys.executable, "-m", "venv", "--clear", venv], check=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", "polars~=2.1"], check=True)
        (venv / "ready").touch()
    return python


def measure(command, environment):
    began = time.monotonic()
    process = subprocess.Popen(
        list(map(str, command)),
        env={**os.environ, **environment},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    said = process.stderr.read()
    _, status, used = os.wait4(process.pid, 0)
    took = time.monotonic() - began
    if status != 0:
        sys.exit(f"{command[0]} failed:\n{said.decode()}")
    return took, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024


def told(posts, measured):
    wall, cpu, peak = (
        {name: reduce(run[at] for run in runs) for name, runs in measured.items()}
        for at, reduce in ((0, statistics.median), (1, statistics.median), (2, max))
    )
    print(f"{posts:,} posts, median of {len(next(iter(measured.values())))} runs\n")
    print("| | rows a second | CPU µs a row | peak MB |\n|---|---:|---:|---:|")
    for name in measured:
        print(f"| {name} | {posts / wall[name]:,.0f} | {cpu[name] / posts * 1e6:.2f} | {peak[name]:.0f} |")
    print()
    best = {name: min(run[0] for run in runs) for name, runs in measured.items()}
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
