"""Runs `pinhost` as a task of Airflow 3.

>>> PinhostOperator(
...     task_id="replay",
...     command=["replay", "pins.yaml", "--from", "archive", "--run-id", "{{ dag_run.run_after | ds_nodash }}"],
...     connections={"DATABASE_URL": "pins"},
...     on_nothing_new="skip",
...     outlets=[Asset("pins")],
... )

The task's XCom holds the `exit_code`, a summary of each pipeline, and `result`, what the command printed. When a task is
stopped, by a time-out for example, it sends SIGTERM: the command commits what it has read, and the next try resumes there.
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

# The exit codes that the command documents.
_INPUT, _DIFFERS = 2, 4


class PinhostOperator(BaseOperator):
    """Runs `pinhost` with these arguments.

    :param command: the arguments as a list; no shell is involved. (templated)
    :param connections: environment variables, and the connections that fill them. A variable holds the connection's URI; an
        AWS connection sets the variables that AWS tools read instead. A pipeline refers to them as `${DATABASE_URL}`.
    :param env: more variables. (templated)
    :param cwd: the folder to run in. (templated)
    :param dead_letters_max: the number of dead letters to accept; None accepts any. What is committed stays.
    :param on_dead_letters: what becomes of the task if there are more.
    :param on_nothing_new: what becomes of the task if there was no record to read.
    :param on_difference: what becomes of the task if `diff --exit-code` finds differences.
    :param executable: the command to run; by default the one of this Python.
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
            raise AirflowFailException("`command` is a list of arguments, since no shell is involved")
        printed, log, exit_code = self._run()
        summary = {
            "exit_code": exit_code,
            "pipelines": [_summary(line) for line in log if _is_summary(line)],
            "result": _result(printed),
        }
        self._judge(summary, [line["message"] for line in log if line.get("level") == "ERROR"])
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
        printed: list[str] = []
        assert process.stdout is not None and process.stderr is not None
        reader = threading.Thread(target=lambda out: printed.append(out.read()), args=[process.stdout])
        reader.start()
        lines = []
        try:
            for line in process.stderr:
                lines.append(self._logged(line.rstrip()))
        except BaseException:
            # Airflow raises its time-outs here. The command commits what it has read before it ends.
            self.on_kill()
            process.wait()
            raise
        finally:
            reader.join()
        exit_code = process.wait()
        if printed[0]:
            self.log.info("%s", printed[0].rstrip())
        return printed[0], lines, exit_code

    def _logged(self, line: str) -> dict[str, Any]:
        try:
            entry = json.loads(line)
        except ValueError:
            entry = None
        if not isinstance(entry, dict):
            self.log.info("%s", line)
            return {"message": line}
        level = {"ERROR": self.log.error, "WARN": self.log.warning}.get(entry.get("level", ""), self.log.info)
        fields = {key: value for key, value in entry.items() if key not in ("timestamp", "level", "target", "message")}
        level("%s%s", entry.get("message", ""), "".join(f" {key}={value}" for key, value in fields.items()))
        return entry

    def _judge(self, summary: dict[str, Any], errors: list[str]) -> None:
        exit_code = summary["exit_code"]
        why = "; ".join(errors) or f"pinhost ended with {exit_code}"
        if exit_code == _DIFFERS:
            self._then(self.on_difference, "the rules differ", summary)
        elif exit_code == _INPUT:
            # The input is wrong, and would be on every try.
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
            # Another try would end the same.
            raise AirflowFailException(f"{why}: {json.dumps(summary['pipelines'])}")
        if then == "skip":
            raise AirflowSkipException(why)
        self.log.info("%s", why)


_SUMMARY = ("pipeline", "records", "rows", "superseded", "dropped", "dead_letters", "seconds")


def _is_summary(line: Mapping[str, Any]) -> bool:
    return all(key in line for key in _SUMMARY)


def _summary(line: Mapping[str, Any]) -> dict[str, Any]:
    return {key: line[key] for key in _SUMMARY}


def _result(printed: str) -> Any:
    try:
        return json.loads(printed)
    except ValueError:
        return printed or None


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
