"""Lines with their spread over seeds, and the panels of designs that hold them."""

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from reports.figures import style

PANEL_HEIGHT_IN = 1.75


def draw(axes: Axes, rows: pd.DataFrame, kind: str, along: str, value: str) -> None:
    """Draw the value along a column of integers: a line per kind, the mean over seeds, in a band of one s.d."""
    names = list(rows[kind].unique())
    for name, look in style.series(names, "lines").items():
        seeds = rows[rows[kind] == name].groupby(along)[value]
        mean, spread = seeds.mean(), seeds.std(ddof=1).fillna(0)
        every = max(len(mean) // 8, 1)
        axes.plot(mean.index, mean, color=look.color, marker=look.marker, markevery=every, markersize=3, label=name)
        axes.fill_between(mean.index, mean - spread, mean + spread, color=look.color, alpha=0.15, linewidth=0)
    whole_ticks(axes)


def whole_ticks(axes: Axes) -> None:
    """Let the horizontal axis have ticks at round whole numbers only."""
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, steps=[1, 2, 5, 10]))


def seeds_text(rows: pd.DataFrame) -> str:
    """Return what a line is, by the number of seeds."""
    count = rows["seed"].nunique()
    return f"mean and s.d. of {count} seeds" if count > 1 else "one seed"


def panels(rows: pd.DataFrame, height_in: float, columns: int = 1) -> tuple[Figure, dict[str, list[Axes]]]:
    """Return a figure with a row of panels per design, and the panels by design; the first of a row has its title.

    Args:
        rows: what is drawn; the column `design` names the rows of panels, `seed` says what their lines are means of.
        height_in: of the legends and labels above and below the panels.
        columns: panels in a row; one is as wide as a column of a page, several fill both.
    """
    designs = list(rows["design"].unique())
    width = style.COLUMN_WIDTH_IN if columns == 1 else style.PAGE_WIDTH_IN
    drawing = style.figure(width, height_in + PANEL_HEIGHT_IN * len(designs))
    grid = drawing.subplots(len(designs), columns, sharex=True, squeeze=False)
    for panel, design in zip(grid[:, 0], designs, strict=True):
        panel.set_title(f"{design}, {seeds_text(rows[rows['design'] == design])}", loc="left")
    return drawing, {design: list(row) for design, row in zip(designs, grid, strict=True)}
