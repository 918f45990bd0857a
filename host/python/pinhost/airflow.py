"""Runs `pinhost` as a task of Airflow 3.

>>> PinhostOperator(
...     task_id="replay",
...     command=["replay", "pins.yaml", "--from", "archive", "--run-id", "{{ dag_run.run_after | ds_nodash }}"],
...     connections={"DATABASE_URL": "pins"},
...     on_nothing_new="skip",
...     outlets=[Asset("pins")],
... )

The task's XCom is what the command did: `exit_code`, a summary of each pipeline, and `result`, what it printed. A task
that is stopped, by a time-out say, sends SIGTERM: what was read is committed, and the next try goes on from there.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

from airflow.sdk import BaseHook, BaseOperator
from airflow.sdk.exceptions import AirflowException, AirflowFailException, AirflowSkipException

if TYPE_CHECKING:
    from airflow.sdk import Context
    from airflow.sdk.definitions.connection import Connection

__all__ = ["PinhostOperator"]

Then = Literal["fail", "skip", "succeed"]

# Exit codes are a promise of the command's.
_INPUT, _DIFFERS = 2, 4


class PinhostOperator(BaseOperator):
    """Runs a command of pinhost's.

    :param command: its arguments, as a list: nothing goes through a shell. (templated)
    :param connections: variables of the environment, and the connections that fill them: with the connection's URI, or,
        if it is one of AWS, with what the tools of AWS look for. A pipeline names them as `${DATABASE_URL}`.
    :param env: more variables. (templated)
    :param cwd: the folder in which it runs. (templated)
    :param dead_letters_max: more dead letters than this are too many; None is any number. What is committed stays.
    :param on_dead_letters: what then becomes of the task.
    :param on_nothing_new: what becomes of a task that found no record to read.
    :param on_difference: what becomes of a task whose `diff --exit-code` found differences.
    :param executable: the command's own name; left out, that of this Python.
    """

    template_fields: Sequence[str] = ("command", "env", "cwd")

    def __init__(
        self,
        *,
        command: Sequence[str],
        connections: Mapping[str, str] | None = None,
        env: Mapping[str, str] | None = None,
        cwd: str | None = None,
        dead_letters_max: int | None = None,
        on_dead_letters: Then = "fail",
        on_nothing_new: Then = "succeed",
        on_difference: Then = "fail",
        executable: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.command = command
        self.connections = connections
        self.env = env
        self.cwd = cwd
        self.dead_letters_max = dead_letters_max
        self.on_dead_letters = on_dead_letters
        self.on_nothing_new = on_nothing_new
        self.on_difference = on_difference
        self.executable = executable
        self._process: subprocess.Popen[str] | None = None

    def execute(self, context: Context) -> dict[str, Any]:
        if isinstance(self.command, str):
            raise AirflowFailException("`command` is a list of arguments: nothing goes through a shell")
        said, errors, exit_code = self._run()
        summary = {
            "exit_code": exit_code,
            "pipelines": [_summary(line) for line in errors if _is_summary(line)],
            "result": _result(said),
        }
        self._judge(summary, [line["message"] for line in errors if line.get("level") == "ERROR"])
        return summary

    def on_kill(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)

    def _run(self) -> tuple[str, list[dict[str, Any]], int]:
        """What it printed, the lines of its log, and its exit code."""
        command = [self.executable] if self.executable else [sys.executable, "-m", "pinhost"]
        env = {**os.environ, "PINHOST_LOG_FORMAT": "json", **(self.env or {})}
        for variable, connection in (self.connections or {}).items():
            env.update(_variables(variable, BaseHook.get_connection(connection)))
        self.log.info("pinhost %s", " ".join(self.command))
        process = subprocess.Popen(
            [*command, *self.command],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            env=env,
            cwd=self.cwd,
        )
        self._process = process
        told: list[str] = []
        assert process.stdout is not None and process.stderr is not None
        reader = threading.Thread(target=lambda out: told.append(out.read()), args=[process.stdout])
        reader.start()
        lines = []
        try:
            for line in process.stderr:
                lines.append(self._heard(line.rstrip()))
        except BaseException:
            # A time-out of Airflow's is raised in here: what was read is committed before it ends.
            self.on_kill()
            process.wait()
            raise
        finally:
            reader.join()
        exit_code = process.wait()
        if told[0]:
            self.log.info("%s", told[0].rstrip())
        return told[0], lines, exit_code

    def _heard(self, line: str) -> dict[str, Any]:
        try:
            heard = json.loads(line)
        except ValueError:
            heard = None
        if not isinstance(heard, dict):
            self.log.info("%s", line)
            return {"message": line}
        level = {"ERROR": self.log.error, "WARN": self.log.warning}.get(heard.get("level", ""), self.log.info)
        fields = {key: value for key, value in heard.items() if key not in ("timestamp", "level", "target", "message")}
        level("%s%s", heard.get("message", ""), "".join(f" {key}={value}" for key, value in fields.items()))
        return heard

    def _judge(self, summary: dict[str, Any], errors: list[str]) -> None:
        exit_code = summary["exit_code"]
        why = "; ".join(errors) or f"pinhost ended with {exit_code}"
        if exit_code == _DIFFERS:
            self._then(self.on_difference, "the rules differ", summary)
        elif exit_code == _INPUT:
            # What is written is wrong, and would be the next time.
            raise AirflowFailException(why)
        elif exit_code != 0:
            raise AirflowException(why)
        dead = sum(pipeline["dead_letters"] for pipeline in summary["pipelines"])
        if self.dead_letters_max is not None and dead > self.dead_letters_max:
            self._then(self.on_dead_letters, f"{dead} dead letters, and {self.dead_letters_max} are allowed", summary)
        if summary["pipelines"] and not any(pipeline["records"] for pipeline in summary["pipelines"]):
            self._then(self.on_nothing_new, "there was nothing new to read", summary)

    def _then(self, then: Then, why: str, summary: dict[str, Any]) -> None:
        if then == "fail":
            # Another try would find the same.
            raise AirflowFailException(f"{why}: {json.dumps(summary['pipelines'])}")
        if then == "skip":
            raise AirflowSkipException(why)
        self.log.info("%s", why)


_SUMMARY = ("pipeline", "records", "rows", "superseded", "dropped", "dead_letters", "seconds")


def _is_summary(line: Mapping[str, Any]) -> bool:
    return all(key in line for key in _SUMMARY)


def _summary(line: Mapping[str, Any]) -> dict[str, Any]:
    return {key: line[key] for key in _SUMMARY}


def _result(said: str) -> Any:
    try:
        return json.loads(said)
    except ValueError:
        return said or None


def _variables(name: str, connection: Connection) -> dict[str, str]:
    if connection.conn_type != "aws":
        return {name: connection.get_uri()}
    extra = connection.extra_dejson
    variables = {
        "AWS_ACCESS_KEY_ID": connection.login,
        "AWS_SECRET_ACCESS_KEY": connection.password,
        "AWS_SESSION_TOKEN": extra.get("aws_session_token"),
        "AWS_REGION": extra.get("region_name"),
        "AWS_ENDPOINT_URL": extra.get("endpoint_url"),
    }
    return {variable: value for variable, value in variables.items() if value}
