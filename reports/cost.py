"""The cost rows of run records as cost tables again."""

import pandas as pd

from hwsim.cost import CostTable, summary
from hwsim.cost.table import Entry
from reports.records import COST_FIELDS, Study

RUN = ["study", "run_id"]


def run_totals(study: Study) -> pd.DataFrame:
    """Return one row per run with cost rows: study, run_id and the quantities of `hwsim.cost.summary`.

    A run without cost rows (a float run) has no row here: its cost is missing, not 0.
    """
    rows = []
    for _, cost in study.cost.groupby(RUN, sort=False):
        first = cost.iloc[0]
        rows.append({**{name: first[name] for name in RUN}, **summary(cost_table(cost))})
    return pd.DataFrame(rows, columns=None if rows else [*RUN, *summary(CostTable())])


def cost_table(cost: pd.DataFrame) -> CostTable:
    """Return the cost rows of one run as a cost table."""
    return CostTable(tuple(Entry(*row) for row in cost[list(COST_FIELDS)].itertuples(index=False, name=None)))
