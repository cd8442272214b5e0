"""What was measured of trained networks: arrays by name, by run; and the spread of a quantity over images."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from reports.records import RECORD_NAME, design_of, read_record

Arrays = Mapping[str, NDArray[Any]]
Measured = Mapping[str, Arrays]  #: By the label of the run.

#: Column -> quantile over images.
QUANTILES: Mapping[str, float] = {"p5": 0.05, "p25": 0.25, "median": 0.5, "p75": 0.75, "p95": 0.95}


def run_labels(folders: Sequence[Path]) -> dict[str, Path]:
    """Return the folders of finished runs by what a figure calls them: the design, and the seed where designs repeat.

    Raises:
        FileNotFoundError: a folder holds no record.
        ValueError: a record is damaged, or a run is given twice.
    """
    for folder in folders:
        if not (folder / RECORD_NAME).is_file():
            raise FileNotFoundError(f"no finished run in {folder}: it has no {RECORD_NAME}")
    records = [read_record(folder / RECORD_NAME) for folder in folders]
    designs = [design_of(record) for record in records]
    labels: dict[str, Path] = {}
    for folder, record, design in zip(folders, records, designs, strict=True):
        label = design if designs.count(design) == 1 else f"{design}, seed {record['seed']}"
        if label in labels:
            raise ValueError(f"two runs of the figure are called {label}: {labels[label]} and {folder}")
        labels[label] = folder
    return labels


def check_same(measured: Measured, name: str) -> None:
    """Check that all runs have the same names of `name`, so that one axis can show them.

    Raises:
        ValueError: two have not.
    """
    names = {run: ", ".join(map(str, np.atleast_1d(arrays[name]))) for run, arrays in measured.items()}
    first = next(iter(names))
    for run, found in names.items():
        if found != names[first]:
            raise ValueError(f"{name} must be the same for all runs, {first} has {names[first]} and {run} has {found}")


def spread(errors: NDArray[Any], names: Sequence[str], column: str) -> pd.DataFrame:
    """Return a row per name: how many images have an error, its mean over them, and `QUANTILES`.

    Args:
        errors: one row per name, one column per image, NaN where an image has none.
        names: of the rows.
        column: what the names are of.
    """
    table = pd.DataFrame(errors.T, columns=pd.Index(names))
    quantiles = table.quantile(list(QUANTILES.values())).to_numpy()
    numbers = {"images": table.count().to_numpy(), "mean": table.mean().to_numpy()}
    return pd.DataFrame({column: list(names), **numbers, **dict(zip(QUANTILES, quantiles, strict=True))})


def images_text(rows: pd.DataFrame) -> str:
    """Return over how many images the rows of `spread` are."""
    low, high = rows["images"].min(), rows["images"].max()
    return f"{high} images" if low == high else f"{low} to {high} images"


def joined(tables: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Return the tables of all runs below each other, with a first column `run`."""
    return pd.concat([table.assign(run=label)[["run", *table]] for label, table in tables.items()], ignore_index=True)
