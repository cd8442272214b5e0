"""The cost of each layer of a design."""

import pandas as pd

from reports.cost import RUN, cost_table
from reports.records import Study
from reports.tables.table import Table, rows_of

DESIGN = ["study", "data", "model", "design"]


def tables(study: Study) -> list[Table]:
    """Return a table per design with cost rows: a row per layer, a column per quantity, means over the seeds."""
    several = [name for name in DESIGN[:-1] if study.cost[name].nunique() > 1]
    groups = study.cost.groupby(DESIGN, sort=False)
    return [_table("-".join(["layers", *cost.iloc[0][[*several, "design"]]]), cost) for _, cost in groups]


def _table(name: str, cost: pd.DataFrame) -> Table:
    entries = pd.DataFrame([e for _, run in cost.groupby(RUN, sort=False) for e in cost_table(run).by("layer")])
    entries = entries.assign(column=_columns(entries))
    order = {axis: list(dict.fromkeys(entries[axis])) for axis in ("layer", "column")}
    means = entries.groupby(["layer", "column"], sort=False)["value"].mean().unstack()
    frame = means.loc[order["layer"], order["column"]].reset_index()
    units = dict(zip(entries["column"], entries["unit"], strict=True))
    rows = rows_of(frame, ["layer", *order["column"]])
    return Table(name, f"Cost per layer of {cost['design'].iloc[0]}, mean over the seeds", rows, rows, units)


def _columns(entries: pd.DataFrame) -> "pd.Series[str]":
    """Return the column of each entry: its quantity, with the convention where the quantity has several."""
    conventions = entries.groupby("quantity")["convention"].transform("nunique")
    named = entries["quantity"] + " (" + entries["convention"] + ")"
    return entries["quantity"].where(conventions == 1, named)
