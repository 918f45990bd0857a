"""Threads, forks, spawned processes and pools: a rule is used from all of them."""

import pytest


def test_threads_share_a_rule(python):
    python(
        """
from concurrent.futures import ThreadPoolExecutor
rule = pinhost.Rule(PIN)
posts = POSTS.read_text().splitlines()
expected = pa.table(rule.clean_json(posts))
with ThreadPoolExecutor(8) as pool:
    for table in pool.map(lambda _: pa.table(rule.clean_json(posts)), range(40)):
        assert table.equals(expected)
"""
    )


def test_others_run_while_plugins_do(python):
    said = python(
        """
rule = pinhost.Rule(PIN)
posts = POSTS.read_text().splitlines() * 40
table = pa.table({"value": posts})
ticks, done = 0, False
def tick():
    global ticks
    while not done:
        time.sleep(0.001); ticks += 1
thread = threading.Thread(target=tick); thread.start()
began = time.monotonic()
for _ in range(3):
    pa.table(rule.clean_json(table))
took = time.monotonic() - began
done = True; thread.join()
print(ticks / took)
"""
    )
    assert float(said) > 50, f"{said} ticks a second"


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_multiprocessing(tmp_path, method):
    import os
    import subprocess
    import sys

    from conftest import PRELUDE

    # A file, as spawned processes import it.
    program = tmp_path / "main.py"
    program.write_text(
        PRELUDE
        + f"""
import multiprocessing
def go(rule):
    return meets(rule)
if __name__ == "__main__":
    rule = hostile("out-of-bounds")
    expected = meets(rule)
    with multiprocessing.get_context({method!r}).Pool(2) as pool:
        assert pool.map(go, [rule] * 6) == [expected] * 6
    print(expected)
"""
    )
    done = subprocess.run([sys.executable, program], capture_output=True, text=True, timeout=120, env=os.environ)
    assert done.returncode == 0, done.stderr
    assert "out of bounds memory access" in done.stdout


def test_a_process_pool_executor(python):
    python(
        """
import multiprocessing
from concurrent.futures import ProcessPoolExecutor
rule = hostile("trap")
expected = meets(rule)
with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("fork")) as pool:
    assert list(pool.map(meets, [rule] * 4)) == [expected] * 4
"""
    )


def test_a_server_that_loads_and_then_forks_its_workers(python):
    said = python(
        """
rule = hostile("loop-forever")
rows = rule.clean(pa.table({"text": ["x"], "n": [1]}))
meets(rule, guilty=False, threads=3)
def serve():
    reasons = meets(rule), meets(rule, threads=2)
    try:
        pa.table(rows)
    except pinhost.CleaningError as error:
        return reasons, str(error)
for _ in range(3):
    in_fork(serve)
assert pa.table(rows).num_rows == 1
"""
    )
    assert said.count("limits.plugin.row_fuel") == 6 and said.count("begun before the fork") == 3


def test_a_fork_while_another_thread_cleans(python):
    python(
        """
rule = pinhost.Rule(PIN)
posts = POSTS.read_text().splitlines() * 10
stop = False
def work():
    while not stop:
        pa.table(rule.clean_json(posts, threads=2))
thread = threading.Thread(target=work); thread.start()
for _ in range(5):
    in_fork(lambda: rule.clean_json(posts[:100]).to_pyarrow().num_rows)
stop = True; thread.join()
"""
    )


def test_the_rules_of_other_processes_are_loaded_once(python):
    said = python(
        """
import pickle
own = pickle.dumps(hostile("trap"))
def took():
    began = time.monotonic(); pickle.loads(own); return time.monotonic() - began
print(took(), min(took() for _ in range(5)))
"""
    )
    first, again = map(float, said.split())
    assert again < first / 2
