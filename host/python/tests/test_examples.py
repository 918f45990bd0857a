"""Every example runs."""

import os
import subprocess
import sys

import pytest
from conftest import ROOT

EXAMPLES = ROOT / "examples/python"


@pytest.mark.parametrize("name", ["arrow_batches", "pandas_frame", "polars_frame", "duckdb_query", "map_batches"])
def test_an_example_prints_what_it_says(name):
    done = subprocess.run([sys.executable, EXAMPLES / f"{name}.py"], capture_output=True, text=True, env=os.environ)
    assert done.returncode == 0, done.stderr
    source = (EXAMPLES / f"{name}.py").read_text()
    expected = [line.removeprefix("# ") for line in source.split("# prints\n")[1].splitlines()]
    assert done.stdout.splitlines() == expected


def test_the_stubs_name_what_there_is():
    import ast

    import pinhost
    from pinhost import _pinhost

    stub = ast.parse((ROOT / "host/python/pinhost/_pinhost.pyi").read_text())
    for node in stub.body:
        if not isinstance(node, ast.ClassDef) or node.name in ("ArrowStream", "ArrowArray"):
            continue
        real = getattr(_pinhost, node.name)
        named = {
            part.name if isinstance(part, ast.FunctionDef) else part.target.id
            for part in node.body
            if isinstance(part, (ast.FunctionDef, ast.AnnAssign))
        }
        there = {name for name in vars(real) if not name.startswith("_")}
        assert there <= named | {"findings"}, f"{node.name} has no stub for {there - named}"
        assert all(hasattr(real, name) for name in named), f"{node.name}: {named}"
        assert real.__doc__, f"{node.name} has no docstring"
    assert set(pinhost.__all__) <= set(dir(pinhost))
