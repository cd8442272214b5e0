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
SAME_PLACE = 1.08  #: places on the cost axis closer than this ratio share a label
ASIDE_PT = 4.5  #: designs of equal cost stand side by side, a family each, so that none hides another


@dataclass(frozen=True)
class CostAxis:
    """A cost to plot against: a column of the designs, and the axis' label with its unit."""

    column: str
    label: str


AXES: Mapping[str, CostAxis] = {
    "bops": CostAxis("bops", "bit operations per image (BOPs)"),
    "storage": CostAxis("weight_storage_bits", "weight storage [bit]"),
}


def data(study: Study) -> pd.DataFrame:
    """Return the designs of the study, one row each, as `reports.designs.designs` does."""
    return designs(study)


def draw(points: pd.DataFrame, axis: str = "bops") -> Figure:
    """Return the figure: a panel per data set and model, a point per design, error bars of one standard deviation.

    The float baseline is a horizontal line. A design whose integer accuracy or cost was not measured is left out.

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
    front = rows[pareto_front(rows[cost.column], rows["accuracy_integer_mean"])].sort_values(cost.column)
    axes.plot(
        front[cost.column],
        100 * front["accuracy_integer_mean"],
        drawstyle="steps-post",
        color=style.GREY,
        linewidth=0.8,
        zorder=1,
        label="Pareto front",
    )
    families = list(rows["weights"].unique())
    for place, family in enumerate(families):
        steps = (place + 1) // 2 * (-1 if place % 2 else 1)  # 0, -1, 1, -2, 2, ...
        aside = ScaledTranslation(steps * ASIDE_PT / 72, 0, drawing.dpi_scale_trans)
        chosen = rows[rows["weights"] == family]
        _points(axes, chosen, cost, style.look(family, families), axes.transData + aside)
    axes.set_ylabel(f"integer accuracy [%]\n(mean and s.d., {_seeds(rows)})")
    axes.set_xlabel(cost.label)
    _cost_scale(axes)
    _mark_bits(axes, rows, cost)


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
    ticks = (1, 2, 3, 4, 6, 8) if high < 8 * low else (1, 2, 5) if high < 80 * low else (1,)
    axes.xaxis.set_major_locator(LogLocator(subs=ticks))
    axes.xaxis.set_major_formatter(EngFormatter(sep=""))
    axes.minorticks_off()


def _mark_bits(axes: Axes, rows: pd.DataFrame, cost: CostAxis) -> None:
    """Name the bit widths above the costs that they lead to."""
    names = rows["bits"].astype(str) + "/" + rows["act_bits"].astype(str)
    places = rows.groupby(names)[cost.column].median().sort_values()
    marks: list[tuple[float, list[str]]] = []
    for name, place in zip(places.index.astype(str), places, strict=True):
        if marks and place < SAME_PLACE * marks[-1][0]:
            marks[-1][1].append(name)
        else:
            marks.append((place, [name]))
    top = axes.secondary_xaxis("top")
    top.set_xticks([place for place, _ in marks], ["\n".join(shared) for _, shared in marks])
    top.set_xlabel("bits of weights / activations")
    top.minorticks_off()
    top.spines["top"].set_visible(False)


def _legend(drawing: Figure, grid: Iterable[Axes]) -> None:
    entries: dict[str, Artist] = {}
    for axes in grid:
        handles, labels = axes.get_legend_handles_labels()
        entries |= dict(zip(labels, handles, strict=True))
    drawing.legend(list(entries.values()), list(entries), loc="outside upper center", ncols=5, columnspacing=1.2)
