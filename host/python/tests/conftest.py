"""What the tests share. `tests/src/python.rs` builds the module and says where the guests are."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
PIN = ROOT / "pipelines/rules/pin.yaml"
POSTS = ROOT / "tests/data/pin.ndjson"
MALFORMED = ROOT / "tests/data/malformed.ndjson"

# The text of guilty rows, as in `tests/tests/stories/hostile.rs`.
POISON = "Gift für die Wörter " * 8


def hostile_text(config: dict, call: str = "500ms") -> str:
    """A pipeline with the plugin that misbehaves as its configuration says."""
    plugin = os.environ["PINHOST_HOSTILE"]
    return json.dumps(
        {
            "name": "hostile",
            "source": {"stdin": {}},
            "sink": {"stdout": {}},
            "limits": {"plugin": {"call": call}},
            "rule": {
                "fields": {"text": "text", "n": "integer"},
                "steps": [{"id": "bad", "plugin": plugin, "with": config}],
            },
        }
    )


@pytest.fixture
def hostile_rule():
    import pinhost

    def rule(what: str, **more):
        return pinhost.Rule.from_text(hostile_text({"do": what, "where": POISON, **more}))

    return rule


@pytest.fixture
def batch():
    import pyarrow as pa

    texts = [f"{row}: ö" for row in range(40)]
    texts[7] = texts[31] = POISON
    return pa.record_batch({"text": texts, "n": range(40)})


@pytest.fixture
def posts() -> list[str]:
    return POSTS.read_text().splitlines()


PRELUDE = f"""
import sys
sys.path.insert(0, {str(Path(__file__).parent)!r})
import faulthandler, json, os, signal, threading, time
import pyarrow as pa
import pinhost
from conftest import PIN, POISON, POSTS, hostile_text

def hostile(what, **more):
    return pinhost.Rule.from_text(hostile_text({{"do": what, "where": POISON, **more}}))

def meets(rule, guilty=True, rows=3000, **options):
    texts = ["x"] * rows
    if guilty:
        texts[rows // 2] = POISON
    cleaned = rule.clean(pa.table({{"text": texts, "n": range(rows)}}), **options)
    table = pa.table(cleaned)
    assert table.num_rows + len(cleaned.rejects) == rows, (table.num_rows, cleaned.counts)
    return [reject.reason for reject in cleaned.rejects]

def in_fork(work, seconds=30):
    child = os.fork()
    if not child:
        try:
            print("child", work(), flush=True)
            os._exit(0)
        except BaseException as error:
            print("child failed", repr(error), flush=True)
            os._exit(1)
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            code = os.waitstatus_to_exitcode(status)
            assert code == 0, f"the child ended with {{code}}"
            return
        time.sleep(0.02)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    raise SystemExit("the child hangs")
"""


@pytest.fixture
def python():
    """Runs a program in an interpreter of its own, which must survive, and returns what it printed."""

    def run(program: str, seconds: int = 120, **env: str) -> str:
        done = subprocess.run(
            [sys.executable, "-c", PRELUDE + program],
            capture_output=True,
            text=True,
            timeout=seconds,
            env={**os.environ, **env},
        )
        assert done.returncode == 0, f"ended with {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    return run
