"""The cost of each layer of a design."""

from functools import lru_cache

import pandas as pd

from reports.cost import DESIGN, layer_costs
from reports.records import Study
from reports.tables.table import Table, rows_of


def tables(study: Study) -> list[Table]:
    """Return a table per design with cost rows: a row per layer, a column per quantity, means over the seeds."""
    return list(by_design(study).values())


@lru_cache(maxsize=1)
def by_design(study: Study) -> dict[tuple[str, ...], Table]:
    """Return the tables by study, data, model and design."""
    several = [name for name in DESIGN[:-1] if study.cost[name].nunique() > 1]
    groups = layer_costs(study).groupby(DESIGN, sort=False)
    return {
        tuple(map(str, key)): _table("-".join(["layers", *cost.iloc[0][[*several, "design"]]]), cost)
        for key, cost in groups
    }


def _table(name: str, cost: pd.DataFrame) -> Table:
    order = {axis: list(dict.fromkeys(cost[axis])) for axis in ("layer", "column")}
    values = cost.pivot(index="layer", columns="column", values="value")
    frame = values.loc[order["layer"], order["column"]].reset_index()
    units = dict(zip(cost["column"], cost["unit"], strict=True))
    rows = rows_of(frame, ["layer", *order["column"]])
    return Table(name, f"Cost per layer of {cost['design'].iloc[0]}, mean over the seeds", rows, rows, units)
