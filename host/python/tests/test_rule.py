"""Rules: where they come from, what they say of themselves, what is wrong with them."""

import json
import pickle
import subprocess
import sys

import pyarrow as pa
import pytest
from conftest import PIN, ROOT

import pinhost


@pytest.fixture(scope="module")
def rule():
    return pinhost.Rule(PIN)


def command(*args, cwd=None):
    return subprocess.run([sys.executable, "-m", "pinhost", *args], capture_output=True, text=True, cwd=cwd)


def test_a_rule_tells_its_columns(rule):
    assert pa.schema(rule) == pa.schema(rule.schema_out)
    assert rule.schema_out.names[:2] == ["ind", "unique_id"]
    assert pa.schema(rule.schema_in).field("follower_count").type == pa.string()
    assert pa.schema(rule).field("follower_count").type == pa.int64()
    assert rule.ddl.startswith("`ind` BIGINT, `unique_id` STRING")


def test_every_kind_has_its_type_in_spark():
    kinds = ["boolean", "integer", "float", "text", "timestamp", "text-list", "float-list"]
    rule = pinhost.Rule.from_text(json.dumps({"fields": {kind: kind for kind in kinds}}))
    assert rule.ddl == (
        "`boolean` BOOLEAN, `integer` BIGINT, `float` DOUBLE, `text` STRING, `timestamp` TIMESTAMP, "
        "`text-list` ARRAY<STRING>, `float-list` ARRAY<DOUBLE>"
    )


def test_the_digest_is_the_commands(rule):
    printed = command("check", "--json", str(ROOT / "pipelines/quickstart.yaml"))
    assert rule.digest in printed.stdout, printed
    assert pinhost.Rule(ROOT / "pipelines/quickstart.yaml").digest == rule.digest
    assert pinhost.Rule(ROOT / "pipelines/quickstart.yaml") == rule


def test_a_text_is_a_rule_as_if_it_were_in_a_file(rule):
    assert pinhost.Rule.from_text(PIN.read_text(), PIN) == rule


def test_plugins_and_the_explanation_name_what_runs(rule):
    assert [plugin.step for plugin in rule.plugins] == ["placeholders", "follower-count", "tags", "strip-prefix"]
    tags = rule.plugins[2]
    assert (tags.name, json.loads(tags.config)["column"]) == ("tags", "tag_list")
    explained = rule.explain()
    for word in (rule.digest, tags.digest[:12], "ind (integer), required, key, coerced, from ind or index", "writes tag_list"):
        assert word in explained, explained


def test_findings_come_all_at_once_as_text_and_as_data():
    with pytest.raises(pinhost.RuleError) as raised:
        pinhost.Rule.from_text("fields: { a: txt }\nsteps: [{ plugin: placeholder }]\nouput: [a]\n")
    error = raised.value
    assert "did you mean `text`" in str(error) and "\x1b" not in str(error)
    assert {finding.line for finding in error.findings} == {1, 2, 3}
    unknown = next(finding for finding in error.findings if finding.line == 3)
    assert (unknown.severity, unknown.column, unknown.gate) == ("error", 1, "reading")
    assert unknown.help == "did you mean `output`?"
    with pytest.raises(pinhost.RuleError, match="cannot be read"):
        pinhost.Rule("no such file.yaml")


def test_a_secret_is_not_in_a_finding(monkeypatch):
    monkeypatch.setenv("A_SECRET", "correct horse battery")
    with pytest.raises(pinhost.RuleError) as raised:
        pinhost.Rule.from_text("fields: { a: '${A_SECRET}' }\n")
    assert "correct horse" not in str(raised.value) + "".join(found.message for found in raised.value.findings)


def test_the_tests_of_a_rule_run(rule):
    results = rule.test()
    assert len(results) == 6 and all(results)
    bad = pinhost.Rule.from_text(
        "fields: { n: integer }\ntests: [{ name: two, records: ['{\"n\": 1}'], rows: [{ n: 2 }] }]\n"
    )
    (result,) = bad.test()
    assert not result.passed and result.name == "two"
    assert result.differences == [("row 0, n", "2", "1")]


def test_a_rule_pickles_without_what_the_other_side_has(rule, hostile_rule):
    pickled = pickle.dumps(rule)
    assert len(pickled) < 20_000
    assert pickle.loads(pickled) == rule and hash(pickle.loads(pickled)) == hash(rule)
    own = hostile_rule("trap")
    assert len(pickle.dumps(own)) > 20_000
    assert pickle.loads(pickle.dumps(own)).digest == own.digest


def test_a_rule_comes_out_of_a_sink(tmp_path, rule):
    (tmp_path / "run.yaml").write_text(
        f"name: a\nsource: {{ generate: {{ profile: pin, count: 500 }} }}\nrule: {PIN}\n"
        "sink: { sqlite: { path: a.db, table: pin, key: [ind] } }\n"
    )
    assert command("run", "run.yaml", cwd=tmp_path).returncode == 0
    text = (tmp_path / "run.yaml").read_text().replace("sqlite: { path: a.db", f"sqlite: {{ path: {tmp_path / 'a.db'}")
    (tmp_path / "run.yaml").write_text(text)
    kept = pinhost.Rule.from_sink(tmp_path / "run.yaml", rule.digest[:12])
    assert kept == rule and kept.test() == []
    with pytest.raises(pinhost.RuleError, match="has kept no generation ffff; it has " + rule.digest[:12]):
        pinhost.Rule.from_sink(tmp_path / "run.yaml", "ffff")


def test_two_rules_are_compared_over_records(rule, posts):
    other = pinhost.Rule.from_text(
        PIN.read_text().replace('prefix: "Local save in "', 'prefix: "Local save in /data/"').split("\ntests:")[0],
        PIN,
    )
    diff = rule.diff(other, posts, json=True)
    assert diff["differs"] and diff["records"] == len(posts) == diff["changed"]
    changed = [column["name"] for column in diff["columns"] if column["value_to_other"]]
    assert changed == ["save_location"]
    assert diff["columns"][9]["examples"][0]["record"] == "row 0"
    assert not rule.diff(rule, posts, json=True)["differs"]
    table = pa.Table.from_pylist([json.loads(post) for post in posts])
    as_columns = rule.diff(other, table)
    assert (as_columns["records"], as_columns["changed"]) == (diff["records"], diff["changed"])


def test_the_command_comes_with_the_package():
    assert command("--version").stdout.startswith(f"pinhost {pinhost.__version__}")
    assert command("no-such-command").returncode == 2
    assert command("test", str(PIN)).returncode == 0
