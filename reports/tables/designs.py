"""The table of a study: one row per design, mean and deviation over its seeds, accuracy beside cost."""

from typing import Any

import pandas as pd

from hwsim.output import Row
from reports.designs import BIT_UNITS, LEARNED, MEASURED, SIZES, designs
from reports.records import Study
from reports.tables.table import Table, plain, rows_of

IDENTITY = ["data", "model", "design", "weights", "bits", "act_bits", "seeds"]
SHORT, PREFIXES = 10_000, ("", "k", "M", "G", "T", "P")
HEADINGS = {
    "accuracy_float": "float [%]",
    "accuracy_qat": "QAT [%]",
    "accuracy_integer": "integer [%]",
    "agreement": "agreement [%]",
    "parameters": "params",
    "weight_storage_bits": "weights [bit]",
    "macs": "MACs",
    "multiplications": "mult.",
    "shifts": "shifts",
    "additions": "adds",
    "table_reads": "table reads",
    "bops": "BOPs",
    "table_bits": "table [bit]",
}


def tables(study: Study) -> list[Table]:
    """Return the table: accuracies as mean and sample standard deviation over the seeds, in percent."""
    frame = designs(study)
    exact = _in_percent(frame)
    spreads = [f"{name}_{kind}" for name in (*MEASURED, *LEARNED) for kind in ("mean", "sd", "n")]
    units = {name: _unit(name) for name in (*spreads, *SIZES) if _unit(name)}
    rows = rows_of(exact, [*IDENTITY, *spreads, *SIZES])
    told = [name for name in ("data", "model", "seeds") if exact[name].nunique() == 1]
    shown = [_shown(row, told) for row in exact.to_dict("records")]
    return [Table("designs", _title(exact, told), rows, shown, units)]


def _unit(column: str) -> str:
    """Return the unit of a column; a number of runs and a count have none."""
    name, _, kind = column.rpartition("_")
    if kind not in ("mean", "sd"):
        return BIT_UNITS.get(column, "")
    return "%" if name in MEASURED else BIT_UNITS.get(name, "")


def _title(frame: pd.DataFrame, told: list[str]) -> str:
    """Say what all rows have in common, so that it needs no column."""
    words = {"data": "data {}", "model": "model {}", "seeds": "{} seeds"}
    common = [words[name].format(frame[name].iloc[0]) for name in told]
    return ", ".join(["Designs (mean ± sample standard deviation over seeds)", *common])


def _in_percent(frame: pd.DataFrame) -> pd.DataFrame:
    shares = [f"{name}_{kind}" for name in MEASURED for kind in ("mean", "sd")]
    return frame.assign(**{name: 100 * frame[name] for name in shares})


def _shown(row: dict[Any, Any], told: list[str]) -> Row:
    identity = (name for name in ("data", "model", "design", "seeds") if name not in told)
    cells = {name: plain(row[name]) for name in identity}
    for name, heading in HEADINGS.items():
        if name in MEASURED:
            cells[heading] = with_deviation(row[f"{name}_mean"], row[f"{name}_sd"])
        else:
            cells[heading] = compact(row[f"{name}_mean"] if name in LEARNED else row[name])
    return cells


def with_deviation(mean: float, deviation: float) -> str | None:
    """Return "97.53 ± 0.21", without a deviation if that is missing, None if the mean is.

    >>> with_deviation(97.531, 0.214), with_deviation(97.531, float("nan"))
    ('97.53 ± 0.21', '97.53')
    """
    if pd.isna(mean):
        return None
    return f"{mean:.2f}" if pd.isna(deviation) else f"{mean:.2f} ± {deviation:.2f}"


def compact(count: float) -> str | None:
    """Return a count with an SI prefix and three significant digits from 10,000 on, None if it is missing.

    >>> compact(9999), compact(46123), compact(1814073344)
    ('9999', '46.1k', '1.81G')
    """
    if pd.isna(count):
        return None
    if count < SHORT:
        return f"{count:.0f}"
    exponent = int(f"{count:.2e}".partition("e")[2])
    return f"{count / 1000 ** (exponent // 3):.{2 - exponent % 3}f}{PREFIXES[exponent // 3]}"
