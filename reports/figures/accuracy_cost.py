"""Accuracy against cost, with the Pareto front: what precision buys."""

import textwrap
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, FuncFormatter, LogLocator
from matplotlib.transforms import ScaledTranslation, Transform

from hwsim.errors import unknown_name
from reports.designs import designs
from reports.figures import bars, style
from reports.pages.axes import AXES
from reports.pages.design import page_designs
from reports.pareto import pareto_front
from reports.records import FLOAT_DESIGN, Study

PANEL_HEIGHT_IN = 2.1
LINE_HEIGHT_IN = 0.12  #: of labels above and below a panel
SAME_PLACE = 1.04  #: costs closer than this ratio share a label and stand side by side
ASIDE_PT = 4.5  #: that far, so that none hides another
MOVED = "designs of nearly equal cost stand side by side"
NARROWEST = 1.5  #: ratio of costs below which an axis is widened, so that designs of one cost stand in its middle
LABEL_SHARE = 0.07  #: of an axis, that a label above it needs
NOTE_WIDTH = 50  #: characters that a line below an axis has room for

#: Axis of a report's page -> the column of the designs that holds its cost.
COLUMNS: Mapping[str, str] = {
    "bops": "bops",
    "storage": "weight_storage_bits",
    "energy": "energy_pj",
    "area": "area_um2",
    "cycles": "cycles",
}
ON_NETWORK = ("energy", "area", "cycles")  #: What only the network beside a run's record tells.


def data(study: Study) -> pd.DataFrame:
    """Return the designs of the study, one row each, as `reports.designs.designs` does."""
    return designs(study)


def data_with_networks(study: Study) -> pd.DataFrame:
    """Return the designs with what their networks cost, as a report's pages show it (`reports.pages.axes`).

    Columns besides those of `data`: energy_pj, area_um2, cycles; NaN where no run left a network or nothing prices it.

    Raises:
        ValueError: a network is damaged.
    """
    costs = [design.costs for design in page_designs(study)]
    return designs(study).assign(
        **{COLUMNS[name]: [cost.get(name, float("nan")) for cost in costs] for name in ON_NETWORK}
    )


def draw(points: pd.DataFrame, axis: str = "bops") -> Figure:
    """Return the figure: a panel per data set and model, a point per design, error bars of one standard deviation.

    Designs of nearly equal cost are drawn side by side, and the axis says so. The float baseline is a horizontal line.
    A design whose integer accuracy or cost was not measured is left out.

    Args:
        points: the designs.
        axis: a name in `COLUMNS`.

    Raises:
        ValueError: the axis is unknown, or no design has both numbers.
    """
    if axis not in COLUMNS:
        raise unknown_name("cost axis", axis, COLUMNS)
    measured = points.rename(columns={COLUMNS[axis]: "cost"}).dropna(subset=["cost", "accuracy_integer_mean"])
    if measured.empty:
        source = "; it is computed of the network beside a record" if axis in ON_NETWORK else ""
        raise ValueError(f"no design has both an integer accuracy and {COLUMNS[axis]}{source}")
    panels = [(key, _placed(rows)) for key, rows in measured.groupby(["data", "model"])]
    with style.paper():
        lines = max(len(_label(axis, rows)) + _marks(rows).map(len).max() for _, rows in panels)
        drawing = style.figure(height_in=(PANEL_HEIGHT_IN + LINE_HEIGHT_IN * lines) * len(panels))
        grid = drawing.subplots(len(panels), 1, squeeze=False)[:, 0]
        for axes, (key, rows) in zip(grid, panels, strict=True):
            _panel(drawing, axes, rows, axis)
            _baseline(axes, points[(points["data"] == key[0]) & (points["model"] == key[1])])
            if len(panels) > 1:
                axes.set_title(", ".join(map(str, key)))
        _legend(drawing, grid)
    return drawing


def _panel(drawing: Figure, axes: Axes, rows: pd.DataFrame, axis: str) -> None:
    _front(axes, rows[rows["front"]].sort_values("cost"))
    families = list(rows["weights"].unique())
    for _, chosen in rows.groupby(["weights", "step"], sort=False):
        first = chosen.iloc[0]
        aside = ScaledTranslation(first["step"] * ASIDE_PT / 72, 0, drawing.dpi_scale_trans)
        _points(axes, chosen, style.look(first["weights"], families), axes.transData + aside)
    axes.set_ylabel(f"integer accuracy [%]\n(mean and s.d., {_seeds(rows)})")
    _cost_scale(axes, rows["cost"], axis)
    axes.set_xlabel("\n".join(_label(axis, rows)))
    _mark_bits(axes, _marks(rows))


def _placed(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the designs with whether they are of the front and how many steps they stand beside their cost."""
    rows = rows.assign(front=pareto_front(rows["cost"], rows["accuracy_integer_mean"]))
    return rows.assign(step=_steps_aside(rows))


def _front(axes: Axes, front: pd.DataFrame) -> None:
    axes.plot(
        front["cost"],
        100 * front["accuracy_integer_mean"],
        drawstyle="steps-post",
        color=style.GREY,
        linewidth=0.8,
        zorder=1,
        label="Pareto front",
    )


def _steps_aside(rows: pd.DataFrame) -> "pd.Series[int]":
    """Return how many steps each design stands beside its cost, among designs of nearly one cost.

    Designs of the Pareto front stay in their places, so that the front goes through them; without one the first stays.
    Cheaper ones step to the left, dearer ones to the right, equal ones to both sides in turn.
    """
    steps = pd.Series(0, index=rows.index)
    for _, group in rows.groupby(_places(rows["cost"])):
        kept = group[group["front"]] if group["front"].any() else group.iloc[:1]
        taken = {-1: 0, 1: 0}
        beyond = group["cost"].drop(kept.index) - kept["cost"].iloc[0]
        for design, difference in beyond.sort_values(key=np.abs, kind="stable").items():
            side = int(np.sign(difference)) or (-1 if taken[-1] <= taken[1] else 1)
            taken[side] += 1
            steps[design] = side * taken[side]
    return steps


def _places(costs: "pd.Series[float]", ratio: float = SAME_PLACE) -> "pd.Series[float]":
    """Return the place of each cost: the lowest of the costs that are nearly equal to it."""
    places: dict[float, float] = {}
    for cost in sorted(costs.unique()):
        last = next(reversed(places.values()), 0.0)
        places[cost] = last if cost < ratio * last else cost
    return costs.map(places)


def _points(axes: Axes, rows: pd.DataFrame, look: style.Look, place: Transform) -> None:
    axes.errorbar(
        rows["cost"],
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
        axes.update_datalim(np.column_stack([rows["cost"], 100 * end]))


def _baseline(axes: Axes, rows: pd.DataFrame) -> None:
    for _, row in rows[rows["design"] == FLOAT_DESIGN].iterrows():
        mean, deviation = 100 * row["accuracy_float_mean"], 100 * row["accuracy_float_sd"]
        axes.axhline(mean, color=style.BLACK, linewidth=0.8, linestyle="--", zorder=1, label="float")
        axes.axhspan(mean - deviation, mean + deviation, color=style.BLACK, alpha=0.07, linewidth=0, zorder=0)


def _seeds(rows: pd.DataFrame) -> str:
    low, high = rows["accuracy_integer_n"].min(), rows["accuracy_integer_n"].max()
    return f"{low} seed{'s' if low > 1 else ''}" if low == high else f"{low} to {high} seeds"


def _cost_scale(axes: Axes, costs: "pd.Series[float]", axis: str) -> None:
    unit = AXES[axis].unit
    size, prefixed = bars.SHOWN_UNITS.get(unit, (unit, 1.0))[1], EngFormatter(sep="")
    axes.set_xscale("log")
    axes.autoscale_view()
    ratio = max(costs.max() / costs.min(), NARROWEST)
    margin = ratio / (costs.max() / costs.min()) * ratio**0.08
    low, high = axes.set_xlim(costs.min() / margin, costs.max() * margin)
    ticks = (1, 2, 3, 4, 6, 8) if high < 15 * low else (1, 2, 5) if high < 80 * low else (1,)
    axes.xaxis.set_major_locator(LogLocator(subs=ticks))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: prefixed(value * size)))
    axes.minorticks_off()


def _label(axis: str, rows: pd.DataFrame) -> list[str]:
    """Return the lines below an axis: the cost with its unit, what is counted, and whether designs were moved."""
    cost = AXES[axis]
    unit = bars.SHOWN_UNITS.get(cost.unit, (cost.unit,))[0]
    note = f"({cost.note}{f'; {MOVED}' if rows['step'].any() else ''})"
    return [f"{cost.label} [{unit}]" if unit else cost.label, *textwrap.wrap(note, NOTE_WIDTH)]


def _marks(rows: pd.DataFrame) -> "pd.Series[Any]":
    """Return the bit widths by the costs that they lead to; costs too near for two labels share one."""
    names = rows["bits"].astype(str) + "/" + rows["act_bits"].astype(str)
    ratio = (rows["cost"].max() / rows["cost"].min()) ** LABEL_SHARE
    return names.groupby(_places(rows["cost"], max(ratio, SAME_PLACE))).unique()


def _mark_bits(axes: Axes, marks: "pd.Series[Any]") -> None:
    """Name the bit widths above their costs."""
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
