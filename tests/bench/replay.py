#!/usr/bin/env python3
"""Many objects of one record each, replayed from a bucket, beside a client that only gets them.

    python3 tests/bench/replay.py [--objects N] [--rounds N] [--debug]

The S3 server is started as the tests start it; it and both clients share the machine. pinhost's time is
that of the whole process less that of the same replay once more, which lists as much and finds nothing to
do. The client gets the same keys with 8 to 128 in flight; its best rate counts. Runs take turns.
"""

import argparse
import os
import shutil
import signal
import statistics
import subprocess
import sys
import time
from pathlib import Path

from yardstick import HERE, REPOSITORY, built

IN_FLIGHT = [8, 16, 32, 64, 128]
PLACE = "s3://posts/topics/pin"
BAR = 0.8


def main():
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--objects", type=int, default=100_000)
    arguments.add_argument("--rounds", type=int, default=3)
    arguments.add_argument("--debug", action="store_true", help="only to see whether it works")
    arguments = arguments.parse_args()

    target = Path(os.environ.get("CARGO_TARGET_DIR", REPOSITORY / "target"))
    pinhost = binary(target, arguments.debug)
    services, folder = target / "services", target / "bench"
    services.mkdir(parents=True, exist_ok=True)
    folder.mkdir(exist_ok=True)
    said = subprocess.run(
        ["bash", REPOSITORY / "tests" / "services" / "start-s3.sh", services],
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    ).stdout
    server = dict(line.split("=", 1) for line in said.splitlines() if "=" in line)
    environment = {
        **os.environ,
        "AWS_ENDPOINT_URL_S3": server["S3_URL"],
        "AWS_ACCESS_KEY_ID": server["S3_ACCESS_KEY"],
        "AWS_SECRET_ACCESS_KEY": server["S3_SECRET_KEY"],
        "AWS_REGION": "us-east-1",
    }
    try:
        Path(server["S3_DATA"], "posts").mkdir()
        bench("objects", arguments.debug, environment, "put", PLACE, arguments.objects)
        rates, ours = {width: [] for width in IN_FLIGHT}, []
        alone = []
        for _ in range(arguments.rounds):
            ours.append(arguments.objects / replay(pinhost, folder / "replayed", environment))
            got = bench("objects", arguments.debug, environment, "get", PLACE, 1, *IN_FLIGHT)
            for line in got.splitlines():
                width, rate, size = map(int, line.split())
                (alone if width == 1 else rates[width]).append(rate)
        told(arguments, size, ours, rates, alone)
    finally:
        os.kill(int(server["S3_PID"]), signal.SIGKILL)
        shutil.rmtree(server["S3_DATA"], ignore_errors=True)


def binary(target, is_debug):
    if "PINHOST" in os.environ:
        return os.environ["PINHOST"]
    if not is_debug:
        return built(target)[0]
    cargo = [os.environ.get("CARGO", "cargo"), "build", "--locked", "--quiet", "-p", "pinhost"]
    subprocess.run(cargo, cwd=REPOSITORY, check=True)
    return target / "debug" / "pinhost"


def bench(name, is_debug, environment, *arguments):
    """What one of the benches of the crate says."""
    profile = ["--profile", "dev"] if is_debug else []
    cargo = [os.environ.get("CARGO", "cargo"), "bench", *profile, "--locked", "--quiet"]
    return subprocess.run(
        [*cargo, "-p", "pinhost", "--bench", name, "--", *map(str, arguments)],
        cwd=REPOSITORY,
        env=environment,
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    ).stdout


def replay(pinhost, rows, environment):
    """How long it takes to read and clean them, and to store their rows."""
    shutil.rmtree(rows, ignore_errors=True)
    command = [pinhost, "replay", HERE / "replay.yaml", "--from", PLACE, "--run-id", "yardstick"]
    took = []
    for _ in range(2):
        began = time.monotonic()
        done = subprocess.run(
            command,
            env={**environment, "ROWS": str(rows)},
            stderr=subprocess.PIPE,
            text=True,
        )
        took.append(time.monotonic() - began)
        if done.returncode != 0:
            sys.exit(f"pinhost failed:\n{done.stderr}")
    return took[0] - took[1]


def told(arguments, size, ours, rates, alone):
    print(f"{arguments.objects:,} objects of {size} bytes, median of {arguments.rounds} runs\n")
    rates = {width: statistics.median(measured) for width, measured in rates.items()}
    ours, alone = statistics.median(ours), statistics.median(alone)
    print("| | objects a second |\n|---|---:|")
    print(f"| pinhost replay | {ours:,.0f} |")
    for width, rate in rates.items():
        print(f"| bare client, {width} in flight | {rate:,.0f} |")
    print(f"| bare client, one after the other | {alone:,.0f} |\n")
    print(f"pinhost / best client       {ours / max(rates.values()):8.2f}   (bar: ≥ {BAR})")
    print(f"pinhost / sequential client {ours / alone:8.2f}")


if __name__ == "__main__":
    main()
