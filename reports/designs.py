"""Designs: what the runs of one design say together, over its seeds."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import pandas as pd

from reports.cost import run_totals
from reports.records import FLOAT_DESIGN, Study

IDENTITY = ["study", "data", "model", "design", "weights", "bits", "act_bits"]
MEASURED = ["accuracy_float", "accuracy_qat", "accuracy_integer", "agreement"]
FAMILIES = [FLOAT_DESIGN, "uniform", "pot", "post"]  #: in this order, any other after them by name

# A design's sizes follow from its shapes and widths, so its seeds must agree. What follows from the values that were
# learned is averaged: which operation a weight causes, and how wide biases and rescaling constants are.
SIZES = ["parameters", "weight_storage_bits", "macs", "bops", "table_bits"]
LEARNED = ["multiplications", "shifts", "additions", "table_reads", "storage_bits"]
BIT_UNITS = {name: "bit" for name in (*SIZES, *LEARNED) if name.endswith("_bits")}


@lru_cache(maxsize=1)
def designs(study: Study) -> pd.DataFrame:
    """Return one row per design: float first, then by family and bits.

    Columns: study, data, model, design, weights, bits, act_bits, seeds (how many runs); `<name>_mean`, `<name>_sd` and
    `<name>_n` for every accuracy and learned count; one column for every size. What no run measured is missing.

    Raises:
        ValueError: the runs of a design differ in a size: they are not runs of one design.
    """
    runs = study.runs.merge(run_totals(study), on=["study", "run_id"], how="left")
    table = spread(runs, IDENTITY, MEASURED + LEARNED)
    sizes = runs.groupby(IDENTITY, dropna=False, sort=False)[SIZES]
    differing = sizes.nunique().reset_index()
    for name in SIZES:
        for design in differing["design"][differing[name] > 1]:
            raise ValueError(f"the runs of {design} differ in {name}: they are not one design")
    return ordered(table.merge(sizes.first().reset_index(), on=IDENTITY))


def spread(rows: pd.DataFrame, by: Sequence[str], names: Sequence[str]) -> pd.DataFrame:
    """Return one row per group: its number of rows as `seeds`, and mean, sample standard deviation and n of each name.

    Missing values are left out and never counted as 0; the deviation of fewer than two values is missing.
    """
    groups = rows.groupby(list(by), dropna=False, sort=False)
    columns: dict[str, pd.Series[Any]] = {"seeds": groups.size()}
    for name in names:
        columns |= {f"{name}_mean": groups[name].mean(), f"{name}_sd": groups[name].std(ddof=1)}
        columns[f"{name}_n"] = groups[name].count()
    return pd.DataFrame(columns).reset_index()


def ordered(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the rows by study, data, model, family, bits, activation bits and design; equal rows keep their order."""
    ranks = {family: rank for rank, family in enumerate(FAMILIES)}
    keyed = rows.assign(rank=rows["weights"].map(lambda family: ranks.get(family, len(FAMILIES))))
    keys = ["study", "data", "model", "rank", "weights", "bits", "act_bits", "design"]
    return keyed.sort_values(keys, kind="stable", ignore_index=True).drop(columns="rank")
