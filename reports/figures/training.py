"""What figures of a training's epochs share: the curves of one design's runs."""

import pandas as pd

from reports.records import Study, read_curves


def curves_with(study: Study, prefix: str, training: str = "with BWRF") -> pd.DataFrame:
    """Return the epochs of the runs whose curves have such a quantity: design, seed, epoch, and the quantities.

    `training` says, for the message, how such runs are trained.

    Raises:
        ValueError: no run has one, or those that have are of several designs.
    """
    curves = read_curves(study)
    wanted = quantities(curves, prefix)
    if not wanted:
        raise ValueError(f"no run below {study.folder} was trained {training}: none has curves of {prefix}")
    rows = curves.dropna(subset=wanted, how="all").dropna(axis="columns", how="all")
    designs = rows["design"].unique()
    if len(designs) > 1:
        raise ValueError(f"the figure shows the runs of one design, {study.folder} has {', '.join(designs)}")
    return rows


def quantities(curves: pd.DataFrame, prefix: str) -> list[str]:
    """Return the columns with such a name."""
    return [name for name in map(str, curves.columns) if name.startswith(prefix)]
