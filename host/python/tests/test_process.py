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
    printed = python(
        """
rule = hostile("loop-forever")
ticks, done = 0, False
def tick():
    global ticks
    while not done:
        time.sleep(0.001); ticks += 1
thread = threading.Thread(target=tick); thread.start()
before = ticks
meets(rule, rows=1)
print(ticks - before)
done = True; thread.join()
"""
    )
    # The plugin loops for half a second. A call that held the GIL would leave no tick at all.
    assert int(printed) > 10


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
    printed = python(
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
for _ in range(2):
    in_fork(serve)
assert pa.table(rows).num_rows == 1
"""
    )
    assert printed.count("limits.plugin.row_fuel") == 4 and printed.count("begun before the fork") == 2


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


def test_a_rule_of_another_process_is_loaded_once(python):
    printed = python(
        """
import pickle
own = hostile("trap")
restore, (digest, resolved, plugins) = own.__reduce__()
# Nobody can load these, so a rule that comes back was there before.
unusable = [(name, digest, b"") for name, digest, _ in plugins]
try:
    restore(digest, resolved, unusable)
except pinhost.RuleError:
    print("not known yet")
assert pickle.loads(pickle.dumps(own)) == own
assert meets(restore(digest, resolved, unusable)) == meets(own)
"""
    )
    assert printed == "not known yet\n"
