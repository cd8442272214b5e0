"""What figures of a training's epochs share: the curves of one design's runs, and lines with their spread."""

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from reports.figures import style
from reports.records import Study, read_curves


def curves_with(study: Study, prefix: str) -> pd.DataFrame:
    """Return the epochs of the runs whose curves have such a quantity: design, seed, epoch, and the quantities.

    Raises:
        ValueError: no run has one, or those that have are of several designs.
    """
    curves = read_curves(study)
    wanted = quantities(curves, prefix)
    if not wanted:
        raise ValueError(f"no run below {study.folder} was trained with BWRF: none has curves of {prefix}")
    rows = curves.dropna(subset=wanted, how="all").dropna(axis="columns", how="all")
    designs = rows["design"].unique()
    if len(designs) > 1:
        raise ValueError(f"the figure shows the runs of one design, {study.folder} has {', '.join(designs)}")
    return rows


def quantities(curves: pd.DataFrame, prefix: str) -> list[str]:
    """Return the columns with such a name."""
    return [name for name in map(str, curves.columns) if name.startswith(prefix)]


def draw_lines(axes: Axes, rows: pd.DataFrame, kind: str, value: str) -> None:
    """Draw the value against the epoch: a line per kind, the mean over seeds, in a band of one standard deviation."""
    names = list(rows[kind].unique())
    for name, look in style.series(names, "lines").items():
        seeds = rows[rows[kind] == name].groupby("epoch")[value]
        mean, spread = seeds.mean(), seeds.std(ddof=1).fillna(0)
        every = max(len(mean) // 8, 1)
        axes.plot(mean.index, mean, color=look.color, marker=look.marker, markevery=every, markersize=3, label=name)
        axes.fill_between(mean.index, mean - spread, mean + spread, color=look.color, alpha=0.15, linewidth=0)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlabel("epoch")


def seeds_text(rows: pd.DataFrame) -> str:
    """Return what a line is, by the number of seeds."""
    count = rows["seed"].nunique()
    return f"mean and s.d. of {count} seeds" if count > 1 else "one seed"
