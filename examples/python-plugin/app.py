"""Turns a text into a slug, as it stands in addresses: `Crème brûlée!` becomes `creme-brulee`.

The functions of `Cleaner` are the contract's (`wit/plugin.wit`). It hands a column over as one
string of bytes and the places to cut it; `values` and `texts` go from there to a list and back.
"""

import json
import re
import unicodedata
from itertools import accumulate, pairwise
from typing import Iterable, List, Optional

from componentize_py_types import Err
from wit_world import exports
from wit_world.imports.types import (
    Batch,
    Change,
    Change_Replaced,
    Change_Unchanged,
    Cleaned,
    Column,
    ColumnData,
    ColumnType,
    Description,
    Finding,
    Plan,
    Rejection,
    Texts,
    Values_Text,
)

SCHEMA = {
    "type": "object",
    "properties": {
        "column": {"type": "string", "description": "The text column to turn into slugs."},
        "length": {
            "type": "integer",
            "minimum": 1,
            "default": 80,
            "description": "The most characters a slug may have; longer ones end at a word.",
        },
    },
    "required": ["column"],
    "additionalProperties": False,
}

REASON = "no letter or digit to make a slug of"


def slug(text: str, length: int) -> str:
    """The slug of a text; empty if nothing in it can stand in one."""
    ascii = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
    whole = "-".join(re.findall(r"[a-z0-9]+", ascii.lower()))
    if len(whole) <= length:
        return whole
    cut = whole[: length + 1]
    return cut[: cut.rfind("-")] if "-" in cut else cut[:length]


def values(column: ColumnData) -> List[Optional[str]]:
    """A text column as a list, with `None` for a null."""
    assert isinstance(column.values, Values_Text)
    texts, valid = column.values.value, column.valid
    return [
        texts.bytes[start:end].decode() if valid is None or valid[i // 8] >> i % 8 & 1 else None
        for i, (start, end) in enumerate(pairwise(texts.offsets))
    ]


def texts(values: Iterable[Optional[str]]) -> ColumnData:
    """The way back: a list as a text column."""
    values = list(values)
    pieces = [(value or "").encode() for value in values]
    valid = bytearray((len(values) + 7) // 8)
    for i, value in enumerate(values):
        valid[i // 8] |= (value is not None) << i % 8
    offsets = list(accumulate(map(len, pieces), initial=0))
    return ColumnData(Values_Text(Texts(offsets, b"".join(pieces))), bytes(valid))


def check(config: str, columns: List[Column]) -> tuple[str, int]:
    """The column and the length, or findings that say what is wrong with them."""
    try:
        given = json.loads(config)
    except ValueError as error:
        raise Err([Finding("", f"not JSON: {error}", None)])
    if not isinstance(given, dict):
        raise Err([Finding("", "not an object", 'Write `{ column: title }`.')])

    findings = [
        Finding(pointer(key), f"unknown key `{key}`", "The keys are `column` and `length`.")
        for key in given
        if key not in SCHEMA["properties"]
    ]
    name = given.get("column")
    kind = next((column.kind for column in columns if column.name == name), None)
    known = ", ".join(f"`{column.name}`" for column in columns if column.kind == ColumnType.TEXT)
    help = f"The text columns here are {known}." if known else "There is no text column here."
    if "column" not in given:
        findings.append(Finding("", "`column` is missing", help))
    elif not isinstance(name, str):
        findings.append(Finding("/column", "not a text", help))
    elif kind is None:
        findings.append(Finding("/column", f"there is no column `{name}`", help))
    elif kind != ColumnType.TEXT:
        findings.append(Finding("/column", f"column `{name}` is no text", help))

    length = given.get("length", SCHEMA["properties"]["length"]["default"])
    if type(length) is not int or length < 1:
        findings.append(Finding("/length", "not a whole number of at least 1", None))

    if findings:
        raise Err(findings)
    return name, length


def pointer(key: str) -> str:
    """The JSON Pointer of a key."""
    return "/" + key.replace("~", "~0").replace("/", "~1")


class Cleaner(exports.Cleaner):
    # Each call gets a `Cleaner` of its own: what they share belongs to the class.
    length: int

    def describe(self) -> Description:
        return Description(
            name="slug",
            version="1.0.0",
            summary="Turns a text into a slug, as it stands in addresses.",
            config_schema=json.dumps(SCHEMA),
        )

    def configure(self, config: str, columns: List[Column]) -> Plan:
        column, Cleaner.length = check(config, columns)
        return Plan(
            reads=[column],
            writes=[Column(column, ColumnType.TEXT)],
            tallies=[f"{column}: slug made"],
        )

    def clean(self, batch: Batch) -> Cleaned:
        before = values(batch.columns[0])
        after = [None if text is None else slug(text, self.length) for text in before]
        rejected = [
            Rejection(row, REASON, before[row]) for row, text in enumerate(after) if text == ""
        ]
        made = sum(bool(b) and a != b for a, b in zip(before, after))
        change: Change = Change_Unchanged() if before == after else Change_Replaced(texts(after))
        return Cleaned(changes=[change], dropped=[], rejected=rejected, tallies=[made])
