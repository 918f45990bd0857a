"""Daily: archive new records, replay the archive through the current rule, check the rows; hold the next rule at a gate.

`PINS` is the folder for data, `PINHOST_EXAMPLE` the folder of this example. `airflow dags test pins` runs it once.
"""

import os
import sqlite3
from datetime import datetime, timedelta
from pathlib import Path

from airflow.sdk import Asset, dag, task

from pinhost.airflow import PinhostOperator

DATA = os.environ["PINS"]
EXAMPLE = os.environ.get("PINHOST_EXAMPLE", str(Path(__file__).parents[1]))
pins = Asset("pins")


@dag("pins", schedule="@daily", start_date=datetime(2026, 1, 1), catchup=False, max_active_runs=1)
def pins_daily():
    archive = PinhostOperator(
        task_id="archive",
        command=["run", "--until-end", "archive.yaml"],
        cwd=EXAMPLE,
        execution_timeout=timedelta(hours=1),
    )
    # A rule that would change rows stops the run here.
    gate = PinhostOperator(
        task_id="gate",
        command=["diff", "pins.yaml", "--against", os.environ.get("PINS_NEXT_RULE", "pins.yaml"), "--exit-code", "--json"],
        cwd=EXAMPLE,
    )
    replay = PinhostOperator(
        task_id="replay",
        command=["replay", "pins.yaml", "--from", f"{DATA}/archive", "--run-id", "{{ dag_run.run_after | ds_nodash }}"],
        cwd=EXAMPLE,
        dead_letters_max=1000,
        on_nothing_new="skip",
        outlets=[pins],
    )

    @task
    def check(summary: dict) -> int:
        with sqlite3.connect(f"{DATA}/pins.db") as rows:
            (count,) = rows.execute("SELECT count(*) FROM pin WHERE ind IS NOT NULL").fetchone()
            (spelled,) = rows.execute("SELECT count(*) FROM pin WHERE typeof(follower_count) = 'text'").fetchone()
        assert count > 0, "no row"
        assert spelled == 0, "a count is still spelled out"
        assert count <= sum(pipeline["records"] for pipeline in summary["pipelines"])
        return count

    archive >> gate >> replay
    check(replay.output)


pins_daily()
