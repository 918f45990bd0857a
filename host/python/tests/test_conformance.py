"""One rule, equal bytes: the same records take every way there is, and one table shows the results.

Rows are compared as Arrow IPC bytes, rejects as sorted JSON, both by digest; order counts where a way keeps it. `run`,
`replay` and `pipe` are the command, and pyarrow reads what they write.
"""

import hashlib
import json
import os
import subprocess
from pathlib import Path

import pyarrow as pa
import pyarrow.json
import pyarrow.parquet
import pytest
from conftest import PIN, POISON, ROOT

import pinhost
import pinhost.spark
from spark_session import spark as session

COMMAND = os.environ["PINHOST_COMMAND"]
DATA = ROOT / "tests/data"


def lines(name):
    return (DATA / name).read_text().splitlines()


def as_text(record):
    return record if isinstance(record, str) else json.dumps(record, ensure_ascii=False)


def malformed(stream):
    letters = map(json.loads, lines("malformed.ndjson"))
    records = [as_text(letter["record"]) for letter in letters if letter["stream"] == stream]
    return [record for record in records if record.strip() and "\n" not in record]


KINDS = {
    "fields": {
        "id": {"type": "integer", "required": True},
        "b": "boolean",
        "i": "integer",
        "f": "float",
        "t": "text",
        "at": "timestamp",
        "tl": "text-list",
        "fl": "float-list",
        "coerced": {"type": "float", "coerce": True},
        "deep": {"type": "text", "path": "a.b"},
    }
}
KINDS_RECORDS = [
    {"id": 1, "b": True, "i": -(2**63), "f": 0.1, "t": "ö \U0001f98a \u0000\n", "at": "2024-02-29T23:59:59.123456Z"},
    {"id": 2, "i": 2**63 - 1, "f": 5e-324, "tl": [], "fl": [1, 2.5, -0.0], "coerced": "12.5", "a": {"b": "deep"}},
    {"id": 3, "f": 1.7976931348623157e308, "at": "0001-01-01T00:00:00Z", "tl": ["", "a,b", "\u2028"], "t": ""},
    {"id": 4, "at": "9999-12-31T23:59:59.999999+00:00", "b": False, "coerced": 3},
    {"id": 5, "b": None, "i": None, "f": None, "t": None, "at": None, "tl": None, "fl": None},
    {"id": 6, "f": "1"},
    {"id": 7, "i": 2**63},
    {"id": 8, "at": "2024-02-30T00:00:00Z"},
    {"id": 9, "tl": ["a", None]},
    {"id": 10, "fl": ["1"]},
    {"id": None},
    {"no": "id"},
    {"id": 11, "b": 1},
]

TIDY = {
    "fields": {
        "id": "integer",
        **dict.fromkeys(["name", "note", "at", "first_name", "last_name", "followers", "tags", "path"], "text"),
        "latitude": "float",
        "longitude": "float",
    },
    "steps": [
        {
            "plugin": "text-tidy",
            "with": {"columns": ["note"], "entities": True, "controls": True, "blanks": True, "nfc": True, "trim": True},
        },
        {"plugin": "timestamps", "with": {"column": "at", "otherwise": "reject"}},
        {"plugin": "geo-merge"},
        {"plugin": "user-merge"},
        {"plugin": "follower-count", "with": {"column": "followers"}},
        {"plugin": "tags", "with": {"column": "tags"}},
        {"plugin": "strip-prefix", "with": {"column": "path", "prefix": "/data/"}},
        {"plugin": "placeholders", "with": {"columns": {"name": ["-"]}}},
    ],
}
TIDY_RECORDS = [
    {"id": 1, "name": "-", "note": " a &amp; b\u00a0c\u0007 e\u0301 ", "at": "2020-08-28 03:52:47", "latitude": 1, "longitude": 2},
    {"id": 2, "first_name": "A", "last_name": None, "followers": "1.5M", "tags": "a, b,,c", "path": "/data/x"},
    {"id": 3, "followers": "many", "at": "yesterday"},
    {"id": 4, "latitude": 91.5, "longitude": -180, "at": "2017-11-01T00:00:00"},
]


def corpora(folder: Path):
    """The name of each corpus, the file of its rule, its records."""

    def written(name, rule):
        (folder / f"{name}.yaml").write_text(json.dumps(rule))
        return folder / f"{name}.yaml"

    rules = ROOT / "pipelines/rules"
    hostile = {"fields": {"text": "text", "n": "integer"}, "steps": []}
    for deed in ("out-of-bounds", "panic", "loop-forever", "float-nan", "reason-long"):
        known = {case["config"]["do"] for case in json.loads(Path(os.environ["PINHOST_CORPUS"]).read_text())["misbehaviours"]}
        if deed in known and deed not in ("float-nan",):
            config = {"do": deed, "where": f"{deed} {POISON}"}
            hostile["steps"].append({"id": deed, "plugin": os.environ["PINHOST_HOSTILE"], "with": config})
    texts = [f"row {n}" for n in range(60)]
    for at, step in enumerate(hostile["steps"]):
        texts[7 + 11 * at] = step["with"]["where"]
    yield "posts", PIN, lines("pin.ndjson")
    yield "posts of 2021", PIN, lines("pin_gen1.ndjson")
    yield "places", rules / "geo.yaml", lines("e2e/geo.ndjson")
    yield "people", rules / "user.yaml", lines("e2e/user.ndjson")
    yield "malformed posts", PIN, malformed("pin")
    yield "malformed people", rules / "user.yaml", malformed("user")
    yield "all kinds", written("kinds", KINDS), [json.dumps(record) for record in KINDS_RECORDS]
    yield "all plugins", written("tidy", TIDY), [json.dumps(record) for record in TIDY_RECORDS]
    yield "hostile", written("hostile", hostile), [json.dumps({"n": n, "text": text}) for n, text in enumerate(texts)]


class Answer:
    def __init__(self, rule, table, rejects, digest):
        self.rule = rule
        self.table = table.select(rule.schema_out.names).cast(pa.schema(rule)).combine_chunks()
        self.rejects = rejects
        self.digest = digest

    def rows(self, in_order):
        rows = self.table.to_pylist()
        rows = rows if in_order else sorted(rows, key=repr)
        sink = pa.BufferOutputStream()
        # Made anew, since equal columns may differ in their offsets and validity bitmaps.
        rows = pa.Table.from_pylist(rows, schema=pa.schema(self.rule))
        with pa.ipc.new_stream(sink, rows.schema) as stream:
            stream.write_table(rows)
        return hashlib.blake2b(sink.getvalue(), digest_size=6).hexdigest()

    def letters(self):
        return hashlib.blake2b(json.dumps(sorted(self.rejects, key=repr)).encode(), digest_size=6).hexdigest()


def letter(step, reason, detail, record):
    """The detail of a trap holds what the plugin logged, which differs from run to run."""
    return [step, reason, None if reason.startswith("plugin ") else detail, record]


def pinhost_command(*args, given=None):
    done = subprocess.run([COMMAND, *map(str, args)], capture_output=True, text=True, input=given)
    assert done.returncode == 0, done.stderr
    return done.stdout


def checked(file):
    return json.dumps(json.loads(pinhost_command("check", "--json", file)))


def parquet(folder):
    files = sorted(path for path in Path(folder).rglob("*.parquet") if "_pinhost" not in path.parts[len(folder.parts) :])
    return pa.concat_tables([pyarrow.parquet.ParquetFile(file).read() for file in files]) if files else None


def by_command(folder, rule, records, replays):
    (folder / "in").mkdir(parents=True)
    (folder / "in/records.ndjson").write_text("".join(record + "\n" for record in records))
    source = {"objects": {"url": str(folder / "in"), "settle": "0s"}}
    pipeline = {
        "name": "rows",
        "source": source,
        "rule": os.path.relpath(rule[0], folder),
        "sink": {"objects": {"url": str(folder / "rows"), "format": "parquet"}},
        "dead_letters": {"max_ratio": 1.0},
    }
    (folder / "rows.yaml").write_text(json.dumps(pipeline))
    which = [folder / "rows.yaml"]
    if replays:
        archive = {"name": "archive", "source": source, "sink": {"objects": {"url": str(folder / "archive")}}}
        (folder / "archive.yaml").write_text(json.dumps(archive))
        pinhost_command("run", "--until-end", folder / "archive.yaml")
        pinhost_command("replay", folder / "rows.yaml", "--from", folder / "archive", "--run-id", "again")
        which += ["--run-id", "again"]
    else:
        pinhost_command("run", "--until-end", folder / "rows.yaml")
    letters = pinhost_command("dead-letters", *which, "list", "--json", "--limit", 100000).splitlines()
    letters = list(map(json.loads, letters))
    rejects = [letter(found["step"], found["reason"], found["detail"], found["value"]) for found in letters]
    table = parquet(folder / "rows")
    digests = {found["generation"] for found in letters} | {rule[1].digest} if rule[1].digest in checked(folder / "rows.yaml") else set()
    assert len(digests) == 1
    return Answer(rule[1], table if table is not None else pa.schema(rule[1]).empty_table(), rejects, digests.pop())


def run(folder, rule, records, spark):
    return by_command(folder, rule, records, replays=False)


def replay(folder, rule, records, spark):
    return by_command(folder, rule, records, replays=True)


def pipe(folder, rule, records, spark):
    folder.mkdir()
    file = folder / "letters.ndjson"
    printed = pinhost_command("pipe", rule[0], "--dead-letters", file, given="".join(record + "\n" for record in records))
    schema = pa.schema(rule[1])
    options = pyarrow.json.ParseOptions(explicit_schema=schema)
    table = pyarrow.json.read_json(pa.BufferReader(printed.encode()), parse_options=options) if printed else schema.empty_table()
    letters = list(map(json.loads, file.read_text().splitlines()))
    rejects = [letter(found["step"], found["reason"], found["detail"], found["value"]) for found in letters]
    digests = {found["generation"] for found in letters} or {rule[1].digest}
    assert len(digests) == 1
    return Answer(rule[1], table, rejects, digests.pop())


def python(folder, rule, records, spark):
    rows = rule[1].clean_json(pa.table({"value": records}), threads=2)
    table = pa.table(rows)
    rejects = [letter(bad.step, bad.reason, bad.detail, bad.record.decode()) for bad in rows.rejects]
    return Answer(rule[1], table, rejects, rule[1].digest)


def of_frame(rule, frame):
    table = frame.toArrow()
    good = table.filter(pa.compute.is_null(table[pinhost.spark.REJECTS]))
    bad = [row for row in table[pinhost.spark.REJECTS].to_pylist() if row]
    rejects = [letter(row["step"], row["reason"], row["detail"], row["record"].decode()) for row in bad]
    (digest,) = set(table[pinhost.spark.GENERATION].to_pylist())
    return Answer(rule, good, rejects, digest)


def spark_batch(folder, rule, records, spark):
    frame = spark.createDataFrame([(record,) for record in records], "value string").repartition(2)
    return of_frame(rule[1], pinhost.spark.clean_json(frame, rule[1], generation=True))


def spark_streaming(folder, rule, records, spark):
    (folder / "in").mkdir(parents=True)
    (folder / "in/a.txt").write_text("".join(record + "\n" for record in records))
    query = (
        pinhost.spark.clean_json(spark.readStream.text(str(folder / "in")), rule[1], generation=True)
        .writeStream.format("parquet")
        .option("path", str(folder / "out"))
        .option("checkpointLocation", str(folder / "checkpoint"))
        .trigger(availableNow=True)
        .start()
    )
    query.awaitTermination()
    return of_frame(rule[1], spark.read.parquet(str(folder / "out")))


WAYS = [run, replay, pipe, python, spark_batch, spark_streaming]


@pytest.fixture(scope="module")
def spark():
    spark = session("local[2]")
    yield spark
    spark.stop()


def test_one_rule_gives_equal_bytes_everywhere(tmp_path, spark, capsys):
    table, plugins, differing = [], set(), []
    for number, (name, file, records) in enumerate(corpora(tmp_path)):
        assert records, name
        rule = pinhost.Rule(file)
        plugins |= {plugin.name for plugin in rule.plugins}
        answers = {}
        for way in WAYS:
            answer = way(tmp_path / f"{number}-{way.__name__}", (file, rule), records, spark)
            in_order = answer.rows(True) if way in (run, replay, pipe, python) else "–"
            answers[way.__name__] = (len(answer.table), answer.rows(False), in_order, len(answer.rejects), answer.letters(), answer.digest[:12])
            table.append((name, way.__name__, *answers[way.__name__]))
        for column in (0, 1, 3, 4, 5):
            if len({answer[column] for answer in answers.values()}) > 1:
                differing.append((name, column))
        if len({answer[2] for answer in answers.values()} - {"–"}) > 1:
            differing.append((name, "order"))
    head = ("corpus", "way", "rows", "rows' bytes", "in order", "rejects", "rejects' bytes", "generation")
    widths = [max(len(str(row[at])) for row in [head, *table]) for at in range(len(head))]
    with capsys.disabled():
        print()
        for row in [head, *table]:
            print("  ".join(str(cell).ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
    assert not differing
    standard = {line.split()[0] for line in pinhost_command("plugin", "list").splitlines()}
    assert plugins - {"hostile"} >= standard - {"plugin", "name"}, standard - plugins
