#!/usr/bin/env python3
"""The example DAG, run by a scheduler of Airflow's with its workers instead of `airflow dags test`.

    PYTHONPATH=target/python/module target/python/airflow/venv/bin/python tests/soak/airflow.py

The tests have built the module and the environment before. The DAG is triggered twice: the second run replays an archive that
has grown, and its rows replace those of the first.
"""

import os
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time
from pathlib import Path

EXAMPLE = Path(__file__).resolve().parents[2] / "examples/airflow"
PATIENCE = 300
RUNS = 2


def environment(folder):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = f"http://127.0.0.1:{port}"
    return {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "AIRFLOW_HOME": str(folder / "airflow"),
        "AIRFLOW__API__HOST": "127.0.0.1",
        "AIRFLOW__API__PORT": str(port),
        "AIRFLOW__API__BASE_URL": server,
        "AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION": "False",
        "AIRFLOW__CORE__DAGS_FOLDER": str(EXAMPLE / "dags"),
        "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{server}/execution/",
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "PINHOST_EXAMPLE": str(EXAMPLE),
        "PINS": str(folder),
    }


def ask(database, query):
    """None as long as Airflow has not made the table."""
    try:
        with sqlite3.connect(f"file:{database}?mode=ro", uri=True) as connection:
            return connection.execute(query).fetchall()
    except sqlite3.OperationalError:
        return None


def wait(what, seen, airflow):
    end = time.monotonic() + PATIENCE
    while not (answer := seen()):
        if airflow.poll() is not None:
            sys.exit(f"airflow ended with {airflow.returncode}")
        if time.monotonic() > end:
            sys.exit(f"{what}: not within {PATIENCE} seconds")
        time.sleep(0.5)
    return answer


def main():
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        database = folder / "airflow/airflow.db"
        env = environment(folder)
        airflow = [sys.executable, "-m", "airflow"]
        log = (folder / "log").open("w")
        server = subprocess.Popen(
            [*airflow, "standalone"], env=env, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
        )
        try:
            wait("the DAG is known", lambda: ask(database, "SELECT 1 FROM serialized_dag WHERE dag_id = 'pins'"), server)
            for run in range(1, RUNS + 1):
                trigger = [*airflow, "dags", "trigger", "pins", "--run-id", f"soak {run}"]
                subprocess.run(trigger, env=env, check=True, stdout=subprocess.DEVNULL)
                over = f"SELECT state FROM dag_run WHERE run_id = 'soak {run}' AND state IN ('success', 'failed')"
                ((state,),) = wait(f"run {run} is over", lambda: ask(database, over), server)
                rows = ask(folder / "pins.db", "SELECT count(*), count(DISTINCT ind) FROM pin")
                print(f"run {run}: {state}, {rows}")
                if state != "success" or not rows:
                    tasks = ask(database, f"SELECT task_id, state FROM task_instance WHERE run_id = 'soak {run}'")
                    sys.exit(f"{tasks}\n{(folder / 'log').read_text()[-4000:]}")
        finally:
            os.killpg(server.pid, signal.SIGKILL)
            server.wait()


if __name__ == "__main__":
    main()
