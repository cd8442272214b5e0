"""A table of a report: the same rows twice, exact for programs and rounded for people."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from hwsim.output import Row, Value


@dataclass(frozen=True)
class Table:
    """A table of a report.

    Attributes:
        name: stem of its file names.
        title: what it shows.
        rows: exact values, one column each, for CSV.
        shown: the same for people: a mean with its deviation in one cell, rounded.
        units: unit per column of both.
    """

    name: str
    title: str
    rows: Sequence[Row]
    shown: Sequence[Row]
    units: Mapping[str, str] = field(default_factory=dict)


def rows_of(frame: pd.DataFrame, columns: Iterable[str]) -> list[dict[str, Value]]:
    """Return the frame's rows as plain values, whole numbers as integers, missing values as None."""
    names = list(columns)
    values = frame[names].itertuples(index=False, name=None)
    return [dict(zip(names, map(plain, row), strict=True)) for row in values]


def plain(value: Any) -> Value:
    """Return the value as a plain one: None if it is missing, an integer if it is a whole number."""
    if pd.isna(value):
        return None
    number = value.item() if hasattr(value, "item") else value
    return int(number) if isinstance(number, float) and number.is_integer() else number
