"""The cost rows of run records, summed: totals of runs, and layers of designs."""

from functools import lru_cache

import pandas as pd

from hwsim.cost import SUMMARY
from hwsim.cost.table import RATIO_UNITS
from reports.records import Study

RUN = ["study", "run_id"]
DESIGN = ["study", "data", "model", "design"]


@lru_cache(maxsize=1)
def run_totals(study: Study) -> pd.DataFrame:
    """Return one row per run with cost rows: study, run_id and the quantities of `hwsim.cost.summary`.

    A run without cost rows has no row here: its cost is missing, not 0.
    """
    cost = study.cost
    totals = {}
    for name, (quantity, part) in SUMMARY.items():
        rows = cost[cost["quantity"] == quantity]
        chosen = rows[rows["part"].str.split(".").str[-1] == part] if part else rows
        totals[name] = chosen.groupby(RUN, sort=False)["value"].sum()
    runs = pd.MultiIndex.from_frame(cost[RUN].drop_duplicates())
    return pd.DataFrame({name: total.reindex(runs, fill_value=0) for name, total in totals.items()}).reset_index()


def layer_costs(study: Study) -> pd.DataFrame:
    """Return what each layer of each design costs, summed over parts: means over the seeds.

    Columns: study, data, model, design, layer, column (the quantity, with the convention where the design has several
    of it), unit, value. A ratio that a layer has several of is left out: ratios cannot be added.
    """
    keys = [*DESIGN, "layer", "quantity", "unit", "convention"]
    sums = study.cost.groupby([*keys, "run_id"], sort=False)["value"].agg(["sum", "size"]).reset_index()
    summable = sums[~(sums["unit"].isin(RATIO_UNITS) & (sums["size"] > 1))]
    means = summable.groupby(keys, sort=False)["sum"].mean().rename("value").reset_index()
    conventions = means.groupby([*DESIGN, "quantity"])["convention"].transform("nunique")
    named = means["quantity"] + " (" + means["convention"] + ")"
    return means.assign(column=means["quantity"].where(conventions == 1, named))[
        [*DESIGN, "layer", "column", "unit", "value"]
    ]
