"""What the yardsticks share: their options, what is built for them, posts, servers, and runs that are measured."""

import argparse
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

HERE = Path(__file__).resolve().parent
REPOSITORY = HERE.parent.parent
TARGET = Path(os.environ.get("CARGO_TARGET_DIR", REPOSITORY / "target"))
# What is made once and used again: posts, environments.
FOLDER = TARGET / "bench"
POSTS = REPOSITORY / "tests" / "data" / "pin.ndjson"


def options(description, **numbers):
    """The command line: an option for each number with its default, and --debug."""
    parser = argparse.ArgumentParser(description=description.splitlines()[0])
    for name, default in numbers.items():
        parser.add_argument(
            f"--{name}", type=type(default), default=default, metavar="N", help=f"{default:,} if left out"
        )
    parser.add_argument("--debug", action="store_true", help="only to see whether it works")
    FOLDER.mkdir(parents=True, exist_ok=True)
    return parser.parse_args()


def built(is_debug):
    """$PINHOST, or pinhost as these sources have it."""
    if "PINHOST" in os.environ:
        return Path(os.environ["PINHOST"])
    if is_debug:
        cargo("build", "--package", "pinhost")
        return TARGET / "debug" / "pinhost"
    cargo("build", "--release")
    return TARGET / "release" / "pinhost"


def bench(name, is_debug, *arguments, environment=None):
    """What one of the benches of the crate says."""
    profile = ["--profile", "dev"] if is_debug else []
    named = ["--package", "pinhost", "--bench", name]
    return cargo("bench", *profile, *named, "--", *map(str, arguments), environment=environment)


def cargo(command, *arguments, environment=None):
    return subprocess.run(
        [os.environ.get("CARGO", "cargo"), command, "--locked", "--quiet", *arguments],
        cwd=REPOSITORY,
        env={**os.environ, **(environment or {})},
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    ).stdout


def many_posts(count):
    """Real posts over and over, each with an index of its own."""
    path = FOLDER / f"posts-{count}.ndjson"
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


@contextmanager
def server(name, prefix, **environment):
    """A server as the tests start it, by what its script says of it. It goes, and its data with it."""
    services = TARGET / "services"
    services.mkdir(parents=True, exist_ok=True)
    said = subprocess.run(
        ["bash", REPOSITORY / "tests" / "services" / f"start-{name}.sh", services],
        env={**os.environ, **environment},
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    ).stdout
    said = dict(line.split("=", 1) for line in said.splitlines() if "=" in line)
    try:
        yield said
    finally:
        os.kill(int(said[f"{prefix}_PID"]), signal.SIGKILL)
        shutil.rmtree(said[f"{prefix}_DATA"], ignore_errors=True)


class Used(NamedTuple):
    """What a process needed, its children included."""

    seconds: float
    cpu: float
    peak_mb: float


def run(command, environment=None, folder=None):
    began = time.monotonic()
    process = subprocess.Popen(
        list(map(str, command)),
        cwd=folder,
        env={**os.environ, **(environment or {})},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    said = process.stderr.read()
    _, status, used = os.wait4(process.pid, 0)
    took = time.monotonic() - began
    if status != 0:
        sys.exit(f"{command[0]} failed with {os.waitstatus_to_exitcode(status)}:\n{said.decode()}")
    return Used(took, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024)


def seconds_of_work(command, environment):
    """Less those of the same once more, which finds nothing to do."""
    return run(command, environment).seconds - run(command, environment).seconds
