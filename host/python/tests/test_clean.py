"""Cleaning: what goes in, what comes out, what is rejected, and what ends it."""

import json
import signal
import subprocess
import sys

import pyarrow as pa
import pytest
from conftest import MALFORMED, PIN, PRELUDE

import pinhost


@pytest.fixture(scope="module")
def rule():
    return pinhost.Rule(PIN)


def as_table(posts):
    return pa.Table.from_pylist([json.loads(post) for post in posts])


def test_columns_and_records_become_the_same_rows(rule, posts):
    from_json = pa.table(rule.clean_json(posts))
    assert from_json.num_rows == len(posts)
    table = as_table(posts)
    assert pa.table(rule.clean(table)).equals(from_json)
    for given in (table.to_reader(max_chunksize=7), table.to_batches()[0]):
        assert pa.table(rule.clean(given)).equals(from_json)
    value = pa.table({"value": posts})
    for kind in (pa.string(), pa.large_string(), pa.string_view(), pa.binary(), pa.large_binary()):
        assert pa.table(rule.clean_json(value.cast(pa.schema([("value", kind)])))).equals(from_json), kind
    encoded = pa.table({"value": value["value"].dictionary_encode()})
    assert pa.table(rule.clean_json(encoded)).equals(from_json)
    # Not all of a column, and not its beginning.
    assert pa.table(rule.clean_json(value.slice(100, 50))).equals(from_json.slice(100, 50))
    assert rule.clean_json(iter(posts)).to_pyarrow().equals(from_json)
    assert rule.clean_json(post.encode() for post in posts).to_pyarrow().equals(from_json)


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_the_order_is_kept_and_every_record_ends_once(rule, posts, threads):
    many = [line for _ in range(20) for line in [*posts, "{", "null"]]
    cleaned = rule.clean_json(pa.table({"value": many}), threads=threads)
    table = pa.table(cleaned)
    expected = pa.table(rule.clean_json(posts))
    assert table.equals(pa.concat_tables([expected] * 20))
    step = len(posts) + 2
    bad = [at * step + len(posts) + more for at in range(20) for more in (0, 1)]
    assert [reject.row for reject in cleaned.rejects] == bad
    counts = cleaned.counts
    assert (counts.records, counts.rows, counts.rejected, counts.dropped) == (len(many), table.num_rows, 40, 0)


def test_rejects_tell_what_when_and_why(rule):
    lines = MALFORMED.read_bytes().splitlines()
    cleaned = rule.clean_json(lines)
    kept = cleaned.to_pyarrow().num_rows
    rejects = cleaned.rejects
    assert kept + len(rejects) == len(lines) and len(rejects) > 50
    for reject in rejects:
        assert reject.record == lines[reject.row] and reject.reason and reject.step is None
    assert rejects[-1].row == list(rejects)[-1].row
    assert [reject.row for reject in rejects[-3:]] == [reject.row for reject in rejects][-3:]
    assert [reject.row for reject in rejects[::-1]] == [reject.row for reject in rejects][::-1]
    with pytest.raises(IndexError):
        rejects[len(rejects)]
    table = pa.table(rejects)
    assert table.column_names == ["row", "step", "reason", "detail", "record"]
    assert table["record"].to_pylist() == [reject.record for reject in rejects]


def test_rejects_stand_in_a_column_if_asked_for(rule, posts):
    rows = rule.clean_json([*posts[:3], "{", None], rejects_column="_rejects", generation_column="_generation")
    table = rows.to_pyarrow()
    assert table.column_names[-2:] == ["_generation", "_rejects"]
    rejects = table["_rejects"].to_pylist()
    assert rejects[:3] == [None] * 3
    assert [(reject["row"], reject["record"]) for reject in rejects[3:]] == [(3, b"{"), (4, None)]
    assert table["ind"].to_pylist()[3:] == [None, None]
    assert set(table["_generation"].to_pylist()) == {rule.digest}
    assert len(rows.rejects) == 0 and rows.counts.rejected == 2
    with pytest.raises(ValueError, match="has a column `ind` of its own"):
        rule.clean_json(posts, rejects_column="ind")


def test_a_bounded_number_of_rejects_is_kept(rule):
    rows = rule.clean_json(["{"] * 5000, rejects_max=10)
    assert rows.to_pyarrow().num_rows == 0
    assert len(rows.rejects) == 10 and rows.counts.rejected == 5000


def test_nothing_in_nothing_out(rule):
    assert rule.clean_json([]).to_pyarrow().schema == pa.schema(rule)
    empty = pa.table({name: pa.array([], pa.string()) for name in rule.schema_in.names})
    assert pa.table(rule.clean(empty)).num_rows == 0


def test_columns_that_are_not_the_rules_are_refused_before_the_first_row(rule):
    with pytest.raises(pinhost.CleaningError) as raised:
        rule.clean(pa.table({"ind": [1], "unique_id": [1.5]}))
    assert "column unique_id is Float64, and the field unique_id is text" in str(raised.value)
    assert "there is no column title, which the rule requires" in str(raised.value)
    with pytest.raises(pinhost.CleaningError, match="say which one of `a`, `b` holds the records"):
        rule.clean_json(pa.table({"a": ["{}"], "b": ["{}"]}))
    with pytest.raises(pinhost.CleaningError, match="there is no column `c`; there are `a`"):
        rule.clean_json(pa.table({"a": ["{}"]}), "c")
    with pytest.raises(pinhost.CleaningError, match="column `a` is Int64, and records are text or bytes"):
        rule.clean_json(pa.table({"a": [1]}))
    with pytest.raises(TypeError, match="is not Arrow data"):
        rule.clean([1, 2])
    with pytest.raises(TypeError, match="a single record goes into a list"):
        rule.clean_json("{}")


def test_rows_are_taken_once(rule, posts):
    rows = rule.clean_json(posts)
    pa.table(rows)
    with pytest.raises(RuntimeError, match="rows can be taken once"):
        pa.table(rows)
    with pytest.raises(RuntimeError, match="rows can be taken once"):
        next(rows)


def test_what_an_iterator_raises_is_raised(rule, posts):
    def failing():
        yield posts[0]
        raise ZeroDivisionError("of the caller")

    with pytest.raises(ZeroDivisionError, match="of the caller"):
        rule.clean_json(failing()).to_pyarrow()
    with pytest.raises(TypeError, match="a record is text or bytes, not"):
        rule.clean_json([1]).to_pyarrow()


def test_a_plugin_that_fails_on_everything_ends_it(hostile_rule):
    rule = hostile_rule("trap")
    from conftest import POISON

    table = pa.table({"text": [POISON] * 1000, "n": range(1000)})
    message = "plugin hostile fails on a batch, and more than 100 of its rows do alone"
    with pytest.raises(pinhost.CleaningError, match=message):
        rule.clean(table).to_pyarrow()
    with pytest.raises(pa.ArrowInvalid, match=message):
        pa.table(rule.clean(table))
    # The next one begins anew.
    assert rule.clean(pa.table({"text": ["x"], "n": [1]})).to_pyarrow().num_rows == 1


def test_rows_come_out_while_the_input_pauses(rule, posts):
    first = next(rule.clean_json(iter([*posts, *posts, *posts])))
    assert len(first) == 1024
    rows = rule.clean(pa.RecordBatchReader.from_batches(as_table(posts).schema, ahead(posts)))
    assert len(next(rows)) == len(posts)


def ahead(posts):
    yield as_table(posts).combine_chunks().to_batches()[0]
    raise AssertionError("more was asked for than was needed")


def test_memory_is_bounded_by_the_batch(python):
    printed = python(
        """
import resource
rule = pinhost.Rule(PIN)
posts = POSTS.read_bytes().splitlines()
def many(times):
    for _ in range(times):
        yield from posts
def peak(times):
    rows = rule.clean_json(many(times), threads=2, rejects_max=0)
    count = sum(len(batch) for batch in rows)
    assert count == times * len(posts)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
peak(20)
small = peak(40)
large = peak(400)
print(large - small)
"""
    )
    assert int(printed) < 40_000, f"{printed} KiB more for ten times as much"


@pytest.mark.parametrize("take", ["rule.clean_json(forever()).to_pyarrow()", "pa.table(rule.clean_json(forever()))"])
def test_ctrl_c_interrupts(take):
    program = f"""
def forever():
    yield from posts * 5
    print("ready", flush=True)
    while True:
        yield from posts
rule = pinhost.Rule(PIN)
posts = POSTS.read_text().splitlines()
try:
    {take}
    time.sleep(0)
except KeyboardInterrupt:
    print("interrupted", flush=True)
except Exception as error:
    try:
        time.sleep(5)
    except KeyboardInterrupt:
        print("interrupted after", type(error).__name__, flush=True)
"""
    process = subprocess.Popen([sys.executable, "-c", PRELUDE + program], stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "ready\n"
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=20)
    assert out.startswith("interrupted")
