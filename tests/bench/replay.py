#!/usr/bin/env python3
"""Many objects of one record each, replayed from a bucket, beside a client that only gets them.

    python3 tests/bench/replay.py [--objects N] [--rounds N] [--debug]

The S3 server is started as the tests start it; it and both clients share the machine. pinhost's time is
that of the whole process less that of the same replay once more, which lists as much and finds nothing to
do. The client gets the same keys with 8 to 128 in flight; its best rate counts. Runs take turns.
"""

import shutil
from pathlib import Path
from statistics import median

from common import FOLDER, HERE, bench, built, options, seconds_of_work, server

IN_FLIGHT = [8, 16, 32, 64, 128]
PLACE = "s3://posts/topics/pin"
BAR = 0.8


def main():
    arguments = options(__doc__, objects=100_000, rounds=3)
    pinhost = built(arguments.debug)
    command = [pinhost, "replay", HERE / "replay.yaml", "--from", PLACE, "--run-id", "yardstick"]
    rows = FOLDER / "replayed"
    with server("s3", "S3") as s3:
        environment = {
            "AWS_ENDPOINT_URL_S3": s3["S3_URL"],
            "AWS_ACCESS_KEY_ID": s3["S3_ACCESS_KEY"],
            "AWS_SECRET_ACCESS_KEY": s3["S3_SECRET_KEY"],
            "AWS_REGION": "us-east-1",
            "ROWS": str(rows),
        }

        def client(*arguments_of_it):
            return bench("objects", arguments.debug, *arguments_of_it, environment=environment)

        Path(s3["S3_DATA"], "posts").mkdir()
        client("put", PLACE, arguments.objects)
        rates, ours = {width: [] for width in IN_FLIGHT}, []
        alone = []
        for _ in range(arguments.rounds):
            shutil.rmtree(rows, ignore_errors=True)
            ours.append(arguments.objects / seconds_of_work(command, environment))
            for line in client("get", PLACE, 1, *IN_FLIGHT).splitlines():
                width, rate, size = map(int, line.split())
                (alone if width == 1 else rates[width]).append(rate)
    told(arguments, size, ours, rates, alone)


def told(arguments, size, ours, rates, alone):
    print(f"{arguments.objects:,} objects of {size} bytes, median of {arguments.rounds} runs\n")
    rates = {width: median(measured) for width, measured in rates.items()}
    ours, alone = median(ours), median(alone)
    print("| | objects a second |\n|---|---:|")
    print(f"| pinhost replay | {ours:,.0f} |")
    for width, rate in rates.items():
        print(f"| bare client, {width} in flight | {rate:,.0f} |")
    print(f"| bare client, one after the other | {alone:,.0f} |\n")
    print(f"pinhost / best client       {ours / max(rates.values()):8.2f}   (bar: ≥ {BAR})")
    print(f"pinhost / sequential client {ours / alone:8.2f}")


if __name__ == "__main__":
    main()
