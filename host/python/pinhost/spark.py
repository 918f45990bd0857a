"""Rules for Spark's DataFrames, batch and streaming. The plugins run in the Python workers, on Arrow batches.

>>> import pinhost, pinhost.spark
>>> rule = pinhost.Rule("pipelines/rules/pin.yaml")
>>> cleaned = pinhost.spark.clean_json(spark.read.text("posts/"), rule)
>>> rows, rejects = pinhost.spark.split(cleaned)

Executors need the package `pinhost` in the driver's version. A worker loads a rule once, however many tasks it runs.
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
"""The column of rejects. It is null in every row that was cleaned."""

GENERATION = "_pinhost_generation"
"""The column of the digest of the rule that made the row."""

_REJECTS_DDL = "STRUCT<row: BIGINT, step: STRING, reason: STRING, detail: STRING, record: BINARY>"


def clean(
    frame: DataFrame,
    rule: Rule | str | PathLike[str],
    *,
    rejects: str | None = REJECTS,
    generation: bool = False,
    barrier: bool = False,
) -> DataFrame:
    """Clean the columns of a frame.

    A column becomes the field that has its name or its name as an alias. A record that cannot be cleaned becomes a row
    in which only the column `rejects` is filled: a struct of row (its number in its Arrow batch), step, reason, detail
    and record (JSON). `rejects=None` leaves such records out. `generation` adds the rule's digest to every row.
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
    """Clean JSON records in `column`, by default `value` or the only one.

    Read them by `spark.read.text`: the rule does the work of `spark.read.json`, and the bytes of a record alone decide
    what becomes of it.
    """
    return _cleaned(frame, rule, column, True, rejects, generation, barrier)


def split(cleaned: DataFrame, rejects: str = REJECTS) -> tuple[DataFrame, DataFrame]:
    """Split rows and rejects into two frames. Both are filters: cache `cleaned` if you use both, or it is cleaned twice."""
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
    # Spark takes columns by position: these are the columns of `rows`, in its order.
    ddl = rule.ddl
    if generation:
        ddl += f", `{GENERATION}` STRING"
    if rejects:
        ddl += f", `{rejects}` {_REJECTS_DDL}"
    each = _Each(rule, is_json, rejects, GENERATION if generation else None)
    return frame.mapInArrow(each, ddl, barrier) if barrier else frame.mapInArrow(each, ddl)


class _Each:
    """Cleans the batches of a partition in a worker. It assumes no schema, since an empty partition has none."""

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
                # One batch at a time: rejects stay beside their rows, and what Spark raises is not wrapped.
                yield from map(pyarrow.record_batch, clean(batch, **self.options))
