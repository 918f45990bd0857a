"""`PinhostOperator`, and the example by `airflow dags test`, in an Airflow with a database of its own."""

import json
import os
import subprocess
import sys

import pytest
from conftest import PIN, ROOT

EXAMPLE = ROOT / "examples/airflow"


@pytest.fixture(scope="session")
def home(tmp_path_factory):
    home = tmp_path_factory.mktemp("airflow")
    env = {
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__DAGS_FOLDER": str(EXAMPLE / "dags"),
        "AIRFLOW__CORE__UNIT_TEST_MODE": "False",
    }
    os.environ.update(env)
    airflow("db", "migrate")
    return home


def airflow(*args, check=True, **env):
    done = subprocess.run(
        [sys.executable, "-m", "airflow", *args],
        capture_output=True,
        text=True,
        env={**os.environ, **env},
        timeout=300,
    )
    if check:
        assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    return done


@pytest.fixture
def operator(home):
    from pinhost.airflow import PinhostOperator

    def operator(*command, **options):
        return PinhostOperator(task_id="task", command=list(command), **options)

    return operator


def pipeline(folder, count=1000):
    (folder / "a.yaml").write_text(
        f"name: a\nsource: {{ generate: {{ profile: pin, count: {count} }} }}\nrule: {PIN}\n"
        "sink: { sqlite: { path: a.db, table: pin, key: [ind] } }\n"
    )
    return folder


def test_a_run_gives_its_summary(operator, tmp_path):
    ran = operator("run", "a.yaml", cwd=str(pipeline(tmp_path))).execute({})
    (summary,) = ran["pipelines"]
    assert (ran["exit_code"], summary["pipeline"], summary["records"]) == (0, "a", 1000)
    assert summary["rows"] + summary["superseded"] + summary["dead_letters"] == 1000
    checked = operator("check", "--json", "a.yaml", cwd=str(tmp_path)).execute({})
    assert isinstance(checked["result"], (dict, list))


def test_dead_letters_and_nothing_new_fail_or_skip(operator, tmp_path):
    from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException

    run = ("run", "a.yaml")
    folder = str(pipeline(tmp_path))
    with pytest.raises(AirflowFailException, match="dead letters, and 0 are allowed"):
        operator(*run, cwd=folder, dead_letters_max=0).execute({})
    # They are committed, and there is nothing new.
    with pytest.raises(AirflowSkipException, match="nothing new"):
        operator(*run, cwd=folder, on_nothing_new="skip").execute({})
    with pytest.raises(AirflowFailException, match="nothing new"):
        operator(*run, cwd=folder, on_nothing_new="fail").execute({})
    assert operator(*run, cwd=folder).execute({})["pipelines"][0]["records"] == 0
    (tmp_path / "a.db").unlink()
    with pytest.raises(AirflowSkipException, match="dead letters"):
        operator(*run, cwd=folder, dead_letters_max=0, on_dead_letters="skip").execute({})


def test_what_is_written_wrongly_is_not_tried_again(operator, tmp_path):
    from airflow.sdk.exceptions import AirflowException, AirflowFailException

    (tmp_path / "a.yaml").write_text("name: a\n")
    with pytest.raises(AirflowFailException, match="the key `source` is missing"):
        operator("run", "a.yaml", cwd=str(tmp_path)).execute({})
    with pytest.raises(AirflowException) as raised:
        operator("run", "a.yaml", executable="false").execute({})
    assert not isinstance(raised.value, AirflowFailException)
    with pytest.raises(AirflowFailException, match="a list of arguments"):
        from pinhost.airflow import PinhostOperator

        PinhostOperator(task_id="text", command="run a.yaml").execute({})


def test_connections_become_variables(operator, monkeypatch):
    monkeypatch.setenv("AIRFLOW_CONN_PINS", "postgres://me:secret@db.example:5433/pins")
    aws = {"conn_type": "aws", "login": "key", "password": "secret", "extra": {"region_name": "eu-west-1"}}
    monkeypatch.setenv("AIRFLOW_CONN_BUCKET", json.dumps(aws))
    program = "import json, os; print(json.dumps(dict(os.environ)))"
    environment = operator(
        "-c", program, executable=sys.executable, connections={"DATABASE_URL": "pins", "AWS": "bucket"}, env={"A": "b"}
    ).execute({})["result"]
    assert environment["DATABASE_URL"] == "postgres://me:secret@db.example:5433/pins"
    assert (environment["AWS_ACCESS_KEY_ID"], environment["AWS_REGION"], environment["A"]) == ("key", "eu-west-1", "b")
    assert "AWS_ENDPOINT_URL" not in environment and environment["PINHOST_LOG_FORMAT"] == "json"


def test_the_example_runs_and_its_gate_holds(home, tmp_path):
    env = {"PINS": str(tmp_path), "PINHOST_EXAMPLE": str(EXAMPLE)}
    airflow("dags", "test", "pins", **env)
    assert (tmp_path / "pins.db").exists()
    # A rule by which rows become others.
    rule = PIN.read_text().split("\ntests:")[0].replace('prefix: "Local save in "', 'prefix: "Local save in /data/"')
    (tmp_path / "next.yaml").write_text(rule.replace("strays: [geo.yaml, user.yaml]", ""))
    stopped = airflow("dags", "test", "pins", check=False, **env, PINS_NEXT_RULE=str(tmp_path / "next.yaml"))
    assert "the rules differ" in stopped.stdout + stopped.stderr
