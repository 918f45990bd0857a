from collections.abc import Iterable, Iterator, Sequence
from os import PathLike
from typing import Any, Protocol, final, overload

import pyarrow

class ArrowStream(Protocol):
    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object: ...

class ArrowArray(Protocol):
    def __arrow_c_array__(self, requested_schema: object | None = None) -> tuple[object, object]: ...

__version__: str

class Error(Exception): ...

class RuleError(Error):
    findings: Sequence[Finding]

class CleaningError(Error): ...

@final
class Finding:
    severity: str
    message: str
    path: str | None
    line: int | None
    column: int | None
    help: str | None
    gate: str

@final
class Schema:
    names: list[str]
    def __arrow_c_schema__(self) -> object: ...

@final
class Batch:
    def __len__(self) -> int: ...
    def __arrow_c_schema__(self) -> object: ...
    def __arrow_c_array__(self, requested_schema: object | None = None) -> tuple[object, object]: ...

@final
class Counts:
    records: int
    rows: int
    rejected: int
    dropped: int

@final
class Reject:
    row: int
    step: str | None
    reason: str
    detail: str | None
    record: bytes | None

@final
class Rejects(Sequence[Reject]):
    @overload
    def __getitem__(self, at: int) -> Reject: ...
    @overload
    def __getitem__(self, at: slice) -> Sequence[Reject]: ...
    def __len__(self) -> int: ...
    def __arrow_c_schema__(self) -> object: ...
    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object: ...

@final
class Rows:
    rejects: Rejects
    counts: Counts
    def __iter__(self) -> Iterator[Batch]: ...
    def __next__(self) -> Batch: ...
    def __arrow_c_schema__(self) -> object: ...
    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object: ...
    def to_pyarrow(self) -> pyarrow.Table: ...

@final
class Plugin:
    step: str
    name: str
    version: str
    digest: str
    summary: str
    config: str

@final
class TestResult:
    name: str
    passed: bool
    differences: list[tuple[str, str, str]]
    def __bool__(self) -> bool: ...

@final
class Rule:
    digest: str
    schema_in: Schema
    schema_out: Schema
    ddl: str
    plugins: list[Plugin]
    def __init__(self, path: str | PathLike[str]) -> None: ...
    @classmethod
    def from_text(cls, text: str, path: str | PathLike[str] = "rule.yaml") -> Rule: ...
    @classmethod
    def from_sink(cls, pipeline: str | PathLike[str], digest: str) -> Rule: ...
    def __arrow_c_schema__(self) -> object: ...
    def clean(
        self,
        data: ArrowStream | ArrowArray,
        *,
        threads: int = 1,
        rejects_column: str | None = None,
        generation_column: str | None = None,
        rejects_max: int = 100_000,
    ) -> Rows: ...
    def clean_json(
        self,
        data: ArrowStream | ArrowArray | Iterable[str | bytes | None],
        column: str | None = None,
        *,
        threads: int = 1,
        rejects_column: str | None = None,
        generation_column: str | None = None,
        rejects_max: int = 100_000,
    ) -> Rows: ...
    def explain(self) -> str: ...
    def test(self) -> list[TestResult]: ...
    def diff(
        self,
        other: Rule,
        data: ArrowStream | ArrowArray | Iterable[str | bytes | None],
        *,
        json: bool = False,
        column: str | None = None,
        key: Sequence[str] | None = None,
        examples: int = 3,
    ) -> dict[str, Any]: ...

def main(argv: Sequence[str]) -> int: ...
def _restore(digest: str, resolved: str, plugins: Sequence[tuple[str, str, bytes | None]]) -> Rule: ...
