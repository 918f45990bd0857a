#!/usr/bin/env python3
"""What a hot swap costs the stream.

    python3 tests/bench/swap.py [--swaps N] [--every SECONDS]

Made-up posts go by the rule for posts into an SQLite table, as fast as they go; a plugin of the rule is saved again
and again, each time with another digest, so that it is compiled each time. From the log come: when each batch came out
of the cleaning threads and of which generation it is, and when units were committed. Printed are

- the gaps between two batches of the lane, at take-overs and elsewhere,
- the time from a save until the new generation is in charge of all that is read from then on, and until its first
  batch is cleaned: that one waits for its turn while the sink is busy with what came before,
- the rows committed in the second from a save, as a share of those of a second before it: the mean of the ten seconds
  before, without the seconds from earlier saves.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from datetime import datetime
from pathlib import Path

from common import REPOSITORY, built, options

RULES = REPOSITORY / "pipelines" / "rules"
PIPELINE = """\
name: swap
source: { generate: { profile: pin } }
rule: pin.yaml
sink: { sqlite: { path: pins.db, table: pin } }
limits: { probation: { time: 1h } }
"""
SWAPS_OF_A_RUN = 50
BARS = "≤ ordinary + 5 ms", "≤ 500 ms", "≥ 0.70"


def main():
    arguments = options(__doc__, swaps=200, every=4.0)
    pinhost = built(arguments.debug)
    plugin = built_plugin(pinhost)
    ordinary, at_swaps, first_batches, delays, shares = [], [], [], [], []
    # Begun anew now and then: the table would fill the disk.
    for swaps in parts(arguments.swaps, SWAPS_OF_A_RUN):
        for figures, new in zip(
            (ordinary, at_swaps, first_batches, delays, shares), measured(pinhost, plugin, swaps, arguments.every)
        ):
            figures.extend(new)
    print(f"{len(at_swaps)} take-overs of {arguments.swaps} saves, {len(ordinary) + len(at_swaps):,} gaps\n")
    print("| | p50 | p99 | bar |\n|---|---:|---:|---|")
    print(f"| ordinary gaps, ms | {ms(ordinary, 50)} | {ms(ordinary, 99)} | |")
    print(f"| gaps at take-overs, ms | {ms(at_swaps, 50)} | {ms(at_swaps, 99)} | {BARS[0]} |")
    print(f"| save to take-over, ms | {ms(delays, 50)} | {ms(delays, 99)} | {BARS[1]} |")
    print(f"| save to the first batch, ms | {ms(first_batches, 50)} | {ms(first_batches, 99)} | |")
    low = percentile(shares, 1)
    print(f"| rows in the second from a save, share | {percentile(shares, 50):.2f} | {low:.2f} | {BARS[2]} |")
    if len(at_swaps) < arguments.swaps:
        sys.exit("not every save took over")


def parts(whole, part):
    return [min(part, whole - begin) for begin in range(0, whole, part)]


def measured(pinhost, plugin, swaps, every):
    """Of one process: ordinary gaps, those at take-overs, times to the first batch and to the take-over, shares."""
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        prepare(folder, plugin)
        saves = run(pinhost, folder, plugin, swaps, every)
        batches, commits, charges = read(folder / "log")
    delays = [at - max(save for save in saves if save <= at) for at in charges]
    shares = [share for save in saves if (share := committed(save, saves, commits)) is not None]
    return *gaps(batches, saves), delays, shares


def built_plugin(pinhost):
    """A Rust plugin as its author has it."""
    source = REPOSITORY / "plugins" / "tags"
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder, "tags.wasm")
        subprocess.run([pinhost, "plugin", "build", source, "--output", out], check=True, stdout=subprocess.DEVNULL)
        return out.read_bytes()


def prepare(folder, plugin):
    rule = (RULES / "pin.yaml").read_text()
    rule = rule.replace("- plugin: tags\n", "- id: tags\n    plugin: ./tags.wasm\n")
    assert "./tags.wasm" in rule
    (folder / "pin.yaml").write_text(rule)
    for stray in ["geo.yaml", "user.yaml"]:
        (folder / stray).write_text((RULES / stray).read_text())
    (folder / "pins.yaml").write_text(PIPELINE)
    save(folder, plugin, 0)


def save(folder, plugin, number):
    """The same plugin with another section of no meaning, put there as compilers and editors do."""
    name, payload = b"n", number.to_bytes(4, "little")
    draft = folder / "tags.draft"
    draft.write_bytes(plugin + bytes([0, 1 + len(name) + len(payload), len(name)]) + name + payload)
    at = time.time()
    draft.rename(folder / "tags.wasm")
    return at


def run(pinhost, folder, plugin, swaps, every):
    """Saves again and again; returns when."""
    log = ["--log-format", "json", "--log-level", "info,pinhost::run::lane=trace,pinhost::swap::swapper=trace"]
    environment = {**os.environ, "PINHOST_CACHE_DIR": str(folder / "cache")}
    with open(folder / "log", "wb") as told:
        process = subprocess.Popen(
            [pinhost, "run", "pins.yaml", *log],
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=told,
        )
        try:
            # Ten ordinary seconds, and a few to get going.
            time.sleep(13)
            saves = []
            for number in range(1, swaps + 1):
                saves.append(save(folder, plugin, number))
                time.sleep(every)
        finally:
            process.kill()
            process.wait()
    return saves


def read(log):
    """(time, generation) of batches, (time, rows) of commits, times of take-overs."""
    batches, commits, charges = [], [], []
    with open(log, encoding="utf-8") as lines:
        for line in lines:
            if not line.startswith("{") or not line.endswith("}\n"):
                continue
            event = json.loads(line)
            if event.get("message") not in ("cleaned", "committed", "in charge"):
                continue
            at = datetime.fromisoformat(event["timestamp"]).timestamp()
            if event["message"] == "cleaned":
                batches.append((at, event["generation"]))
            elif event["message"] == "committed":
                commits.append((at, event["rows"]))
            else:
                charges.append(at)
    return batches, commits, charges


def gaps(batches, saves):
    """Gaps within a generation and those between two, and how long after a save a generation took over."""
    ordinary, at_swaps, delays = [], [], []
    for (before, old), (at, new) in zip(batches, batches[1:]):
        if old == new:
            ordinary.append(at - before)
        else:
            at_swaps.append(at - before)
            delays.append(at - max(save for save in saves if save <= at))
    return ordinary, at_swaps, delays


def committed(save, saves, commits):
    """The rows of the second from a save, as a share of an ordinary second before it."""
    def rows(start, end):
        return sum(rows for at, rows in commits if start <= at < end)

    others = [other for other in saves if save - 11 < other < save]
    windows, start = [], save - 10
    for other in [*others, save]:
        if other > start:
            windows.append((start, other))
        start = max(start, other + 1)
    seconds = sum(end - start for start, end in windows)
    ordinary = sum(rows(start, end) for start, end in windows) / seconds if seconds > 0 else 0
    return rows(save, save + 1) / ordinary if ordinary else None


def percentile(values, percent):
    values = sorted(values)
    return values[min(len(values) - 1, len(values) * percent // 100)]


def ms(seconds, percent):
    return f"{percentile(seconds, percent) * 1000:.1f}"


if __name__ == "__main__":
    main()
