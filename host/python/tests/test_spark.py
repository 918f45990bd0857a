"""Rules on DataFrames, batch and streaming. Spark is the one of `requirements-data.txt`."""

import os
import signal
import subprocess
import sys
import time

import pyarrow as pa
import pytest
from conftest import PIN, ROOT

import pinhost
import pinhost.spark
from spark_session import spark as session

BAD = ['{"index": 1', "null", '{"index": "x", "unique_id": "a"}']


@pytest.fixture(scope="module")
def spark():
    spark = session()
    yield spark
    spark.stop()


@pytest.fixture(scope="module")
def rule():
    return pinhost.Rule(PIN)


def sorted_rows(table: pa.Table) -> list:
    return sorted(map(repr, table.to_pylist()))


def test_a_frame_becomes_the_rows_of_the_rule(spark, rule, posts):
    frame = spark.createDataFrame([(line,) for line in [*posts, *BAD]], "value string").repartition(3)
    cleaned = pinhost.spark.clean_json(frame, rule, generation=True).cache()
    assert cleaned.columns == [*rule.schema_out.names, pinhost.spark.GENERATION, pinhost.spark.REJECTS]
    rows, rejects = pinhost.spark.split(cleaned)
    expected = pa.table(rule.clean_json(posts))
    assert sorted_rows(rows.drop(pinhost.spark.GENERATION).toArrow()) == sorted_rows(expected)
    assert [row[0] for row in cleaned.select(pinhost.spark.GENERATION).distinct().collect()] == [rule.digest]
    rejected = rule.clean_json(BAD)
    rejected.to_pyarrow()
    expected = {(reject.step, reject.reason, reject.detail, reject.record) for reject in rejected.rejects}
    assert {(r.step, r.reason, r.detail, bytes(r.record)) for r in rejects.collect()} == expected
    cleaned.unpersist()


def test_columns_of_any_order_become_the_same_rows(spark, rule, posts):
    frame = spark.read.json(spark.sparkContext.parallelize(posts, 2))
    cleaned = pinhost.spark.clean(frame.select(*reversed(frame.columns)), str(PIN), rejects=None)
    assert cleaned.columns == rule.schema_out.names
    assert sorted_rows(cleaned.toArrow()) == sorted_rows(pa.table(rule.clean_json(posts)))


def test_empty_partitions_have_no_rows(spark, rule, posts):
    frame = spark.createDataFrame([(posts[0],)], "value string").repartition(8)
    assert pinhost.spark.clean_json(frame, rule).count() == 1
    assert pinhost.spark.clean_json(frame.limit(0), rule).count() == 0
    assert pinhost.spark.clean(spark.read.json(spark.sparkContext.parallelize(posts)).limit(0), rule).count() == 0


def test_a_plugin_that_traps_rejects_its_row_in_a_worker(spark, hostile_rule, batch):
    frame = spark.createDataFrame(batch.to_pandas())
    cleaned = pinhost.spark.clean(frame, hostile_rule("out-of-bounds"))
    rows, rejects = pinhost.spark.split(cleaned)
    assert sorted(row.n for row in rows.collect()) == [n for n in range(40) if n not in (7, 31)]
    assert {(r.step, "out of bounds memory access" in r.reason) for r in rejects.collect()} == {("bad", True)}


def test_a_stream_goes_on_from_its_checkpoint_and_over_a_killed_worker(spark, rule, posts, tmp_path):
    feed = tmp_path / "posts"
    feed.mkdir()
    marker = tmp_path / "killed"

    def put(name, lines):
        (tmp_path / name).write_text("\n".join(lines) + "\n")
        (tmp_path / name).rename(feed / name)

    def killed_once(batches):
        for batch in batches:
            if marker.exists():
                marker.unlink()
                os.kill(os.getpid(), signal.SIGKILL)
            yield batch

    def run():
        stream = spark.readStream.option("maxFilesPerTrigger", 1).text(str(feed)).mapInArrow(killed_once, "value string")
        query = (
            pinhost.spark.clean_json(stream, rule)
            .writeStream.format("parquet")
            .option("path", str(tmp_path / "rows"))
            .option("checkpointLocation", str(tmp_path / "checkpoint"))
            .trigger(availableNow=True)
            .start()
        )
        query.awaitTermination()

    put("a.json", posts[:200])
    put("b.json", [*posts[200:300], "{"])
    run()
    marker.touch()
    put("c.json", posts[300:400])
    put("d.json", posts[400:])
    run()
    assert not marker.exists(), "no worker was killed"
    cleaned = spark.read.parquet(str(tmp_path / "rows"))
    rows, rejects = pinhost.spark.split(cleaned)
    assert sorted_rows(rows.toArrow()) == sorted_rows(pa.table(rule.clean_json(posts)))
    assert [bytes(reject.record) for reject in rejects.collect()] == [b"{"]


def test_a_job_with_two_executors_loads_the_rule_in_each():
    program = f"""
import sys; sys.path.insert(0, {os.path.dirname(__file__)!r})
import os, pyspark
os.environ["SPARK_HOME"] = os.path.dirname(pyspark.__file__)
import pinhost.spark
from spark_session import spark
s = spark("local-cluster[2,1,1024]", **{{"spark.executor.memory": "512m", "spark.executorEnv.PYTHONPATH": os.environ["PYTHONPATH"],
    "spark.executorEnv.PINHOST_CACHE_DIR": os.environ["PINHOST_CACHE_DIR"]}})
frame = s.read.text({str(ROOT / "tests/data/pin.ndjson")!r}).repartition(4)
cleaned = pinhost.spark.clean_json(frame, {str(PIN)!r})
def counted(batches):
    import pyarrow as pa
    rows = sum(batch.num_rows for batch in batches)
    yield pa.RecordBatch.from_pydict({{"dir": [os.getcwd()], "rows": [rows]}})
counts = cleaned.mapInArrow(counted, "dir string, rows long").collect()
print(sum(count.rows for count in counts), len({{count.dir for count in counts}}))
s.stop()
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=180)
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.split() == ["471", "2"]


def spark_submit(*args):
    return [sys.executable, *map(str, args)]


def test_the_example_writes_rows_and_rejects(tmp_path, spark, rule):
    lines = (ROOT / "tests/data/pin.ndjson").read_text().splitlines()[:50]
    (tmp_path / "posts.json").write_text("\n".join([*lines, *BAD]))
    script = spark_submit(ROOT / "examples/spark/clean_posts.py", PIN, tmp_path / "posts.json", tmp_path / "out")
    done = subprocess.run(script, capture_output=True, text=True, timeout=180)
    assert done.returncode == 0, done.stderr[-3000:]
    assert f"50 rows, 3 rejects, cleaned by {rule.digest[:12]}" in done.stdout
    assert spark.read.parquet(str(tmp_path / "out/rejects")).columns[:3] == ["row", "step", "reason"]


def test_every_micro_batch_is_in_postgres_once_whenever_spark_was_killed(tmp_path, rule, posts):
    import psycopg

    server, database = os.environ["PINHOST_POSTGRES"], f"spark_{os.getpid()}"
    with psycopg.connect(server, autocommit=True) as postgres:
        postgres.execute(f"CREATE DATABASE {database}")
    url = f"{server.rpartition('/')[0]}/{database}"
    types = {"BIGINT": "bigint", "STRING": "text"}
    columns = ", ".join(f'"{name}" {types[kind]}' for name, kind in (c.strip("`").split("` ") for c in rule.ddl.split(", ")))
    with psycopg.connect(url, autocommit=True) as postgres:
        postgres.execute(f"CREATE TABLE pin ({columns})")
    feed = tmp_path / "posts"
    feed.mkdir()
    lines = [*posts, *BAD]
    for at in range(0, len(lines), 79):
        (feed / f"{at:05}.json").write_text("\n".join(lines[at : at + 79]) + "\n")
    script = spark_submit(ROOT / "examples/spark/stream_to_postgres.py", PIN, feed, tmp_path / "checkpoint", url)

    def count(table):
        with psycopg.connect(url, autocommit=True) as postgres:
            if postgres.execute("SELECT to_regclass(%s)", [table]).fetchone()[0] is None:
                return 0
            return postgres.execute(f"SELECT count(*) FROM {table}").fetchone()[0]

    # Killed with everything it has, right after a micro-batch is in Postgres: Spark does not know that yet.
    killed = subprocess.Popen(script, start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while count("pin_batch") < 2:
        assert killed.poll() is None, "it ended before it was killed"
        time.sleep(0.01)
    os.killpg(killed.pid, signal.SIGKILL)
    killed.wait()
    done = subprocess.run(script, capture_output=True, text=True, timeout=180)
    assert done.returncode == 0, done.stderr[-3000:]
    assert (count("pin"), count("pin_reject")) == (len(posts), len(BAD))
    with psycopg.connect(url) as postgres:
        stored = postgres.execute("SELECT ind, unique_id, follower_count, save_location FROM pin").fetchall()
    expected = pa.table(rule.clean_json(posts)).select(["ind", "unique_id", "follower_count", "save_location"])
    assert sorted(map(repr, stored)) == sorted(repr(tuple(row.values())) for row in expected.to_pylist())
