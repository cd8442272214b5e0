"""Accuracy against cost, with the Pareto front: what precision buys."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, LogLocator
from matplotlib.transforms import ScaledTranslation, Transform

from hwsim.errors import unknown_name
from reports.designs import designs
from reports.figures import style
from reports.pareto import pareto_front
from reports.records import FLOAT_DESIGN, Study

PANEL_HEIGHT_IN = 2.4
SAME_PLACE = 1.04  #: costs closer than this ratio share a label and stand side by side
ASIDE_PT = 4.5  #: that far, so that none hides another


@dataclass(frozen=True)
class CostAxis:
    """A cost to plot against: a column of the designs, and the axis' label with its unit."""

    column: str
    label: str


AXES: Mapping[str, CostAxis] = {
    "bops": CostAxis("bops", "bit operations per image (BOPs)"),
    "storage": CostAxis("weight_storage_bits", "weight storage [bit]"),
    "area": CostAxis("nand2", "processing element [NAND2 gates, sky130]"),
}


def data(study: Study) -> pd.DataFrame:
    """Return the designs of the study, one row each, as `reports.designs.designs` does."""
    return designs(study)


def draw(points: pd.DataFrame, axis: str = "bops") -> Figure:
    """Return the figure: a panel per data set and model, a point per design, error bars of one standard deviation.

    Designs of nearly equal cost are drawn side by side. The float baseline is a horizontal line. A design whose
    integer accuracy or cost was not measured is left out.

    Args:
        points: the designs.
        axis: a name in `AXES`.

    Raises:
        ValueError: the axis is unknown, or no design has both numbers.
    """
    if axis not in AXES:
        raise unknown_name("cost axis", axis, AXES)
    cost = AXES[axis]
    measured = points.dropna(subset=[cost.column, "accuracy_integer_mean"])
    if measured.empty:
        raise ValueError(f"no design has both an integer accuracy and {cost.column}")
    panels = list(measured.groupby(["data", "model"]))
    with style.paper():
        drawing = style.figure(height_in=PANEL_HEIGHT_IN * len(panels))
        grid = drawing.subplots(len(panels), 1, squeeze=False)[:, 0]
        for axes, (key, rows) in zip(grid, panels, strict=True):
            _panel(drawing, axes, rows, cost)
            _baseline(axes, points[(points["data"] == key[0]) & (points["model"] == key[1])])
            if len(panels) > 1:
                axes.set_title(", ".join(map(str, key)))
        _legend(drawing, grid)
    return drawing


def _panel(drawing: Figure, axes: Axes, rows: pd.DataFrame, cost: CostAxis) -> None:
    rows = rows.assign(front=pareto_front(rows[cost.column], rows["accuracy_integer_mean"]))
    _front(axes, rows[rows["front"]].sort_values(cost.column), cost)
    families = list(rows["weights"].unique())
    for _, chosen in rows.assign(step=_steps_aside(rows, cost)).groupby(["weights", "step"], sort=False):
        first = chosen.iloc[0]
        aside = ScaledTranslation(first["step"] * ASIDE_PT / 72, 0, drawing.dpi_scale_trans)
        _points(axes, chosen, cost, style.look(first["weights"], families), axes.transData + aside)
    axes.set_ylabel(f"integer accuracy [%]\n(mean and s.d., {_seeds(rows)})")
    axes.set_xlabel(cost.label)
    _cost_scale(axes)
    _mark_bits(axes, rows, cost)


def _front(axes: Axes, front: pd.DataFrame, cost: CostAxis) -> None:
    axes.plot(
        front[cost.column],
        100 * front["accuracy_integer_mean"],
        drawstyle="steps-post",
        color=style.GREY,
        linewidth=0.8,
        zorder=1,
        label="Pareto front",
    )


def _steps_aside(rows: pd.DataFrame, cost: CostAxis) -> "pd.Series[int]":
    """Return how many steps each design stands beside its cost: 0, -1, 1, -2, ... among designs of one cost.

    A design of the Pareto front stays in its place, so that the front goes through it.
    """
    ranked = rows.sort_values("front", ascending=False, kind="stable")
    rank = ranked.groupby(_places(ranked[cost.column])).cumcount()
    return (((rank + 1) // 2) * (1 - 2 * (rank % 2))).loc[rows.index]


def _places(costs: "pd.Series[float]") -> "pd.Series[float]":
    """Return the place of each cost: the lowest of the costs that are nearly equal to it."""
    places: dict[float, float] = {}
    for cost in sorted(costs.unique()):
        last = next(reversed(places.values()), 0.0)
        places[cost] = last if cost < SAME_PLACE * last else cost
    return costs.map(places)


def _points(axes: Axes, rows: pd.DataFrame, cost: CostAxis, look: style.Look, place: Transform) -> None:
    axes.errorbar(
        rows[cost.column],
        100 * rows["accuracy_integer_mean"],
        yerr=100 * rows["accuracy_integer_sd"],
        fmt=look.marker,
        color=look.color,
        elinewidth=0.8,
        capsize=1.8,
        capthick=0.8,
        markeredgecolor="white",
        markeredgewidth=0.4,
        label=look.label,
        transform=place,
    )
    deviation = rows["accuracy_integer_sd"].fillna(0)
    for end in (rows["accuracy_integer_mean"] - deviation, rows["accuracy_integer_mean"] + deviation):
        axes.update_datalim(np.column_stack([rows[cost.column], 100 * end]))


def _baseline(axes: Axes, rows: pd.DataFrame) -> None:
    for _, row in rows[rows["design"] == FLOAT_DESIGN].iterrows():
        mean, deviation = 100 * row["accuracy_float_mean"], 100 * row["accuracy_float_sd"]
        axes.axhline(mean, color=style.BLACK, linewidth=0.8, linestyle="--", zorder=1, label="float")
        axes.axhspan(mean - deviation, mean + deviation, color=style.BLACK, alpha=0.07, linewidth=0, zorder=0)


def _seeds(rows: pd.DataFrame) -> str:
    low, high = rows["accuracy_integer_n"].min(), rows["accuracy_integer_n"].max()
    return f"{low} seed{'s' if low > 1 else ''}" if low == high else f"{low} to {high} seeds"


def _cost_scale(axes: Axes) -> None:
    axes.set_xscale("log")
    axes.margins(x=0.08)
    axes.autoscale_view()
    low, high = axes.get_xlim()
    ticks = (1, 2, 3, 4, 6, 8) if high < 15 * low else (1, 2, 5) if high < 80 * low else (1,)
    axes.xaxis.set_major_locator(LogLocator(subs=ticks))
    axes.xaxis.set_major_formatter(EngFormatter(sep=""))
    axes.minorticks_off()


def _mark_bits(axes: Axes, rows: pd.DataFrame, cost: CostAxis) -> None:
    """Name the bit widths above the costs that they lead to."""
    names = rows["bits"].astype(str) + "/" + rows["act_bits"].astype(str)
    marks = names.groupby(_places(rows[cost.column])).unique()
    top = axes.secondary_xaxis("top")
    top.set_xticks(list(marks.index), ["\n".join(sharing) for sharing in marks])
    top.set_xlabel("bits of weights / activations")
    top.minorticks_off()
    top.spines["top"].set_visible(False)


def _legend(drawing: Figure, grid: Iterable[Axes]) -> None:
    entries: dict[str, Artist] = {}
    for axes in grid:
        handles, labels = axes.get_legend_handles_labels()
        entries |= dict(zip(labels, handles, strict=True))
    drawing.legend(list(entries.values()), list(entries), loc="outside upper center", ncols=5, columnspacing=1.2)
