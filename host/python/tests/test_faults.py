"""The five ways in which a sandbox was seen to kill or to hang a Python process, each in one of its own."""

import pytest

TRAPS = {
    "trap": "unreachable",
    "out-of-bounds": "out of bounds memory access",
    "divide-by-zero": "integer divide by zero",
    "stack-overflow": "call stack exhausted",
}


@pytest.mark.parametrize("deed", TRAPS)
def test_a_trap_survives_faulthandler_switched_on_after_the_load(python, deed):
    printed = python(f"rule = hostile({deed!r}); faulthandler.enable(); print(meets(rule), faulthandler.is_enabled())")
    assert TRAPS[deed] in printed and "True" in printed


@pytest.mark.parametrize("deed", TRAPS)
def test_a_trap_survives_faulthandler_switched_on_and_off_around_the_load(python, deed):
    printed = python(
        f"faulthandler.enable(); rule = hostile({deed!r}); print(meets(rule)); faulthandler.disable(); print(meets(rule))"
    )
    assert printed.count(TRAPS[deed]) == 2


def test_a_loop_in_a_fork_ends(python):
    printed = python("rule = hostile('loop-forever'); print(meets(rule, guilty=False)); in_fork(lambda: meets(rule))")
    assert "child" in printed and "limits.plugin.row_fuel" in printed


def test_a_fork_compiles_with_a_cold_cache(python, tmp_path):
    printed = python(
        f"""
os.environ["PINHOST_CACHE_DIR"] = {str(tmp_path / "parent")!r}
rule = hostile("trap"); print(meets(rule))
os.environ["PINHOST_CACHE_DIR"] = {str(tmp_path / "child")!r}
in_fork(lambda: meets(rule), seconds=100)
"""
    )
    assert "child" in printed and printed.count("unreachable") == 2


def test_a_plugin_that_recurses_needs_no_stack_of_the_callers(python):
    printed = python(
        """
def work():
    rule = hostile("stack-overflow")
    print(meets(rule), meets(rule, threads=2))
threading.stack_size(256 * 1024)
thread = threading.Thread(target=work); thread.start(); thread.join()
"""
    )
    assert printed.count("call stack exhausted") == 2
