"""Rules on Spark's DataFrames, batch and streaming: the plugins run in the Python workers, on Arrow batches.

>>> import pinhost, pinhost.spark
>>> rule = pinhost.Rule("pipelines/rules/pin.yaml")
>>> cleaned = pinhost.spark.clean_json(spark.read.text("posts/"), rule)
>>> rows, rejects = pinhost.spark.split(cleaned)

Executors need the package `pinhost` of the same version. A worker loads a rule once, however many tasks it runs.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from os import PathLike
from typing import TYPE_CHECKING, Any

from . import Rule

if TYPE_CHECKING:
    import pyarrow
    from pyspark.sql import DataFrame

__all__ = ["GENERATION", "REJECTS", "clean", "clean_json", "split"]

REJECTS = "_rejects"
"""The column of what could not be cleaned: null in every row that could."""

GENERATION = "_pinhost_generation"
"""The column of the rule's digest."""

_REJECTS_DDL = "STRUCT<row: BIGINT, step: STRING, reason: STRING, detail: STRING, record: BINARY>"


def clean(
    frame: DataFrame,
    rule: Rule | str | PathLike[str],
    *,
    rejects: str | None = REJECTS,
    generation: bool = False,
    barrier: bool = False,
) -> DataFrame:
    """The rows that a rule makes of the columns of `frame`.

    Columns become fields by their names or by the fields' aliases. What could not be cleaned is a row in which only
    the column `rejects` is filled: a struct of row (which one of its Arrow batch), step, reason, detail and record
    (JSON). With `rejects=None` such records are left out. `generation` adds the rule's digest to every row.
    """
    return _cleaned(frame, rule, None, False, rejects, generation, barrier)


def clean_json(
    frame: DataFrame,
    rule: Rule | str | PathLike[str],
    column: str | None = None,
    *,
    rejects: str | None = REJECTS,
    generation: bool = False,
    barrier: bool = False,
) -> DataFrame:
    """The same of records that are JSON, in `column`: it is `value`, or the only one, if nobody says.

    `spark.read.text` is cheaper than `spark.read.json`, whose work the rule does. What becomes of a record is then
    decided by its bytes alone.
    """
    return _cleaned(frame, rule, column, True, rejects, generation, barrier)


def split(cleaned: DataFrame, rejects: str = REJECTS) -> tuple[DataFrame, DataFrame]:
    """Rows and rejects as two frames. Each is a filter: cache `cleaned` if both are used, or it is cleaned twice."""
    from pyspark.sql import functions as F

    column = F.col(f"`{rejects}`")
    return cleaned.where(column.isNull()).drop(rejects), cleaned.where(column.isNotNull()).select(f"`{rejects}`.*")


def _cleaned(
    frame: DataFrame,
    rule: Rule | str | PathLike[str],
    column: str | None,
    is_json: bool,
    rejects: str | None,
    generation: bool,
    barrier: bool,
) -> DataFrame:
    rule = rule if isinstance(rule, Rule) else Rule(rule)
    if is_json:
        column = column or ("value" if "value" in frame.columns or len(frame.columns) != 1 else frame.columns[0])
        # Nothing else needs to go to the Python workers.
        frame = frame.select(f"`{column}`")
    # By position: these are the columns of `rows`, in its order.
    ddl = rule.ddl
    if generation:
        ddl += f", `{GENERATION}` STRING"
    if rejects:
        ddl += f", `{rejects}` {_REJECTS_DDL}"
    each = _Each(rule, is_json, rejects, GENERATION if generation else None)
    return frame.mapInArrow(each, ddl, barrier) if barrier else frame.mapInArrow(each, ddl)


class _Each:
    """What a worker does with the batches of a partition. It knows no schema: an empty partition has none."""

    def __init__(self, rule: Rule, is_json: bool, rejects: str | None, generation: str | None) -> None:
        self.rule = rule
        self.is_json = is_json
        self.options: dict[str, Any] = {
            "rejects_column": rejects,
            "generation_column": generation,
            "rejects_max": 0,
        }

    def __reduce__(self) -> tuple[Any, ...]:
        options = self.options
        return _Each, (self.rule, self.is_json, options["rejects_column"], options["generation_column"])

    def __call__(self, batches: Iterable[pyarrow.RecordBatch]) -> Iterator[pyarrow.RecordBatch]:
        import pyarrow

        clean = self.rule.clean_json if self.is_json else self.rule.clean
        for batch in batches:
            if batch.num_rows:
                # One at a time, so that rejects stay beside their rows, and what Spark raises stays what it is.
                yield from map(pyarrow.record_batch, clean(batch, **self.options))
