"""The table of a study: one row per design, mean and deviation over its seeds, accuracy beside cost."""

from typing import Any

import pandas as pd

from hwsim.output import Row
from reports.designs import BIT_UNITS, MEASURED, OPERATIONS, SIZES, designs
from reports.records import Study
from reports.tables.table import Table, plain, rows_of

IDENTITY = ["data", "model", "design", "weights", "bits", "act_bits", "seeds"]
HEADINGS = {
    "accuracy_float": "float [%]",
    "accuracy_qat": "QAT [%]",
    "accuracy_integer": "integer [%]",
    "agreement": "agreement [%]",
    "parameters": "parameters",
    "weight_storage_bits": "weights [bit]",
    "macs": "MACs",
    "multiplications": "multiplications",
    "shifts": "shifts",
    "additions": "additions",
    "table_reads": "table reads",
    "bops": "BOPs",
    "table_bits": "table [bit]",
}


def tables(study: Study) -> list[Table]:
    """Return the table: accuracies as mean and sample standard deviation over the seeds, in percent."""
    frame = designs(study)
    exact = _in_percent(frame)
    spreads = [f"{name}_{kind}" for name in (*MEASURED, *OPERATIONS) for kind in ("mean", "sd", "n")]
    units = {name: "%" for name in spreads if name.startswith(tuple(MEASURED)) and not name.endswith("_n")}
    rows = rows_of(exact, [*IDENTITY, *spreads, *SIZES])
    shown = [_shown(row) for row in exact.to_dict("records")]
    title = "Designs: mean ± sample standard deviation over the seeds"
    return [Table("designs", title, rows, shown, units | BIT_UNITS)]


def _in_percent(frame: pd.DataFrame) -> pd.DataFrame:
    shares = [f"{name}_{kind}" for name in MEASURED for kind in ("mean", "sd")]
    return frame.assign(**{name: 100 * frame[name] for name in shares})


def _shown(row: dict[Any, Any]) -> Row:
    cells: dict[str, Any] = {name: plain(row[name]) for name in ("data", "model", "design", "seeds")}
    for name, heading in HEADINGS.items():
        if name in MEASURED:
            cells[heading] = with_deviation(row[f"{name}_mean"], row[f"{name}_sd"])
        else:
            value = plain(row[f"{name}_mean"] if name in OPERATIONS else row[name])
            cells[heading] = round(value) if isinstance(value, float) else value
    return cells


def with_deviation(mean: float, deviation: float) -> str | None:
    """Return "97.53 ± 0.21", without a deviation if that is missing, None if the mean is.

    >>> with_deviation(97.531, 0.214), with_deviation(97.531, float("nan"))
    ('97.53 ± 0.21', '97.53')
    """
    if pd.isna(mean):
        return None
    return f"{mean:.2f}" if pd.isna(deviation) else f"{mean:.2f} ± {deviation:.2f}"
