"""Every run of a study: one row per seed."""

from reports.cost import run_totals
from reports.designs import BIT_UNITS, LEARNED, MEASURED, SIZES, ordered
from reports.records import Study
from reports.tables.table import Table, rows_of

COLUMNS = ["run_id", "data", "model", "design", "weights", "bits", "act_bits", "seed", *MEASURED]


def tables(study: Study) -> list[Table]:
    """Return the table: accuracies in percent, cost totals of the exported network."""
    runs = ordered(study.runs.merge(run_totals(study), on=["study", "run_id"], how="left"))
    percent = runs.assign(**{name: 100 * runs[name] for name in MEASURED})
    units = dict.fromkeys(MEASURED, "%") | BIT_UNITS
    rows = rows_of(percent, [*COLUMNS, *SIZES, *LEARNED])
    return [Table("seeds", "Runs, one per seed", rows, rows_of(percent, ["run_id", *MEASURED]), units)]
