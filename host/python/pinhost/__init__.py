"""Cleaning rules that are sandboxed WebAssembly components.

>>> import pinhost
>>> rule = pinhost.Rule("pipelines/rules/pin.yaml")
>>> rows = rule.clean(table)            # any Arrow table, batch, stream or frame → an Arrow stream
>>> pyarrow.table(rows), rows.rejects   # the rows, and the records that could not be cleaned
"""

from ._pinhost import (
    Batch,
    CleaningError,
    Counts,
    Error,
    Finding,
    Plugin,
    Reject,
    Rejects,
    Rows,
    Rule,
    RuleError,
    Schema,
    TestResult,
    __version__,
)

__all__ = [
    "Batch",
    "CleaningError",
    "Counts",
    "Error",
    "Finding",
    "Plugin",
    "Reject",
    "Rejects",
    "Rows",
    "Rule",
    "RuleError",
    "Schema",
    "TestResult",
    "__version__",
]
