"""QIL's learned intervals over a training: centre and half-width per layer, of weights and of activations.

As Jung et al., arXiv:1808.05779, show them; but intervals of different layers are in different units and move by a few
percent, so they are drawn relative to their start, where centre and half-width are equal.
"""

import re
from collections.abc import Mapping

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from reports.figures import lines, style, training
from reports.records import Study

PREFIX = "learned/"
KEYS = ["design", "seed", "epoch", "layer", "role"]
VALUES = ["center", "radius", "start"]
PANELS: Mapping[str, str] = {"center": "center $c$", "radius": "half-width $d$"}
ROLES = ("weights", "activations")
NAMED = 24  #: Layers that the legend has room for.
LIGHTEST = 0.85  #: of the map of colours; what is beyond is hard to see on white


def data(study: Study) -> pd.DataFrame:
    """Return design, seed, epoch, layer, role, center, radius and start of the runs of one design.

    The interval is center - radius .. center + radius, in units of the weights or activations; start is what both were
    before the first step. Layers are in the order of their names, numbers as numbers.

    Raises:
        ValueError: no run was trained with QIL, those that were recorded no intervals, or several designs did.
    """
    _check_recorded(study)
    curves = training.curves_with(study, PREFIX, "with QIL")
    long = curves.melt(KEYS[:3], training.quantities(curves, PREFIX))
    names = long["variable"].str.removeprefix(PREFIX).str.rsplit("/", n=2, expand=True)
    named = long.assign(layer=names[0], role=names[1], quantity=names[2])
    table = named.pivot(index=KEYS, columns="quantity", values="value").reset_index().rename_axis(columns=None)
    return table.sort_values(KEYS, key=_places, ignore_index=True)[KEYS + VALUES]


def _check_recorded(study: Study) -> None:
    """Refuse runs with QIL none of which recorded its intervals, which `curves_with` would take for runs without."""
    qil = [run for run in study.records.values() if "qil" in map(run["config"].get, ROLES)]
    epochs = [epoch for run in qil for epoch in run.get("curves", [])]
    if qil and not any(name.startswith(PREFIX) for epoch in epochs for name in epoch):
        raise ValueError(f"the runs with QIL below {study.folder} recorded no QIL intervals; train again")


def _places(column: "pd.Series[str]") -> "pd.Series[int]":
    """Return the place of each value in the column's order; names of layers are ordered with numbers as numbers."""
    values = list(column.unique())
    if column.name == "layer":
        values.sort(key=lambda name: [int(part) if part.isdecimal() else part for part in re.split(r"(\d+)", name)])
    else:
        values.sort()
    return column.map({value: place for place, value in enumerate(values)})


def draw(rows: pd.DataFrame) -> Figure:
    """Return the figure: centres above half-widths, weights beside activations, a line per layer, darker to lighter."""
    names = list(rows["layer"].unique())
    shades = matplotlib.colormaps["viridis"](np.linspace(0, LIGHTEST, len(names)))
    colors = dict(zip(names, map(tuple, shades), strict=True))
    with style.paper():
        drawing = style.figure(style.PAGE_WIDTH_IN, 3.1 + 0.13 * (min(len(names), NAMED) // 5))
        grid = drawing.subplots(len(PANELS), len(ROLES), sharex=True)
        for row, (value, label) in zip(grid, PANELS.items(), strict=True):
            for axes, role in zip(row, ROLES, strict=True):
                _panel(axes, rows[rows["role"] == role], value, colors)
            row[0].set_ylabel(f"{label}, change\nsince start [%]")
        for axes, role in zip(grid[0], ROLES, strict=True):
            axes.set_title(role)
        drawing.supxlabel(
            f"epoch ({rows['design'].iloc[0]}, {lines.seeds_text(rows)})", fontsize=style.RC["axes.labelsize"]
        )
        step = -(-len(names) // NAMED)
        handles = [Line2D([], [], color=colors[name], label=name) for name in names[::step]]
        drawing.legend(handles=handles, loc="outside upper center", ncols=min(6, len(handles)))
    return drawing


def _panel(axes: Axes, rows: pd.DataFrame, value: str, colors: Mapping[str, tuple[float, ...]]) -> None:
    change = rows.assign(change=100 * (rows[value] / rows["start"] - 1))
    for name, color in colors.items():
        seeds = change[change["layer"] == name].groupby("epoch")["change"]
        mean, spread = seeds.mean(), seeds.std(ddof=1).fillna(0)
        axes.plot(mean.index, mean, color=color, label=name)
        axes.fill_between(mean.index, mean - spread, mean + spread, color=color, alpha=0.12, linewidth=0)
    axes.axhline(0, color=style.GREY, linewidth=0.8, linestyle=":", zorder=1)
    lines.whole_ticks(axes)
