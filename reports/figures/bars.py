"""Stacked horizontal bars: what several cost figures are made of."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.patches import Patch
from matplotlib.ticker import EngFormatter, FuncFormatter, MaxNLocator

from reports.figures import style

NAMES: Mapping[str, str] = {"dram": "DRAM", "table_read": "table read"}  #: Parts that a legend calls otherwise.

#: Axis unit -> (unit that is shown, its size): ticks carry the prefix, as in 20µ on an axis in J.
SHOWN_UNITS: Mapping[str, tuple[str, float]] = {"pJ": ("J", 1e-12)}


def summed(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the rows with those added up that differ in their value only, in first-seen order."""
    keys = [name for name in rows.columns if name != "value"]
    return rows.groupby(keys, sort=False)["value"].sum().reset_index()[list(rows.columns)]


def stacked(rows: pd.DataFrame, bar: str, colors: Mapping[str, str]) -> pd.DataFrame:
    """Return the values as a table, one row per bar in the order of the rows, one column per part in that of colors.

    Raises:
        ValueError: a part has no colour.
    """
    strange = sorted(set(rows["part"]) - set(colors))
    if strange:
        raise ValueError(f"no colour for the part {strange[0]!r} (known: {', '.join(colors)})")
    table = rows.pivot_table(index=bar, columns="part", values="value", aggfunc="sum", sort=False, fill_value=0)
    return table.reindex(index=rows[bar].unique(), columns=[part for part in colors if part in table])


def draw(axes: Axes, table: pd.DataFrame, colors: Mapping[str, str], fontsize: float) -> None:
    """Draw a table of `stacked`: the first row on top, each row's parts behind each other."""
    places = -np.arange(len(table))
    left = np.zeros(len(table))
    for part in table.columns:
        axes.barh(
            places, table[part], 0.78, left=left, color=colors[part], edgecolor="white", linewidth=0.2, label=part
        )
        left = left + table[part].to_numpy()
    axes.set_yticks(places, [style.wrapped(name) for name in table.index], fontsize=fontsize)
    axes.set_ylim(-len(table) + 0.4, 0.6)
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="y", visible=False)


def scale(axes: Axes, unit: str) -> str:
    """Format the axis of values in this unit, and return the unit that its ticks are in."""
    shown, size = SHOWN_UNITS.get(unit, (unit, 1.0))
    prefixed = EngFormatter(sep="")
    axes.set_xlim(left=0)
    axes.xaxis.set_major_locator(MaxNLocator(4))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: prefixed(value * size)))
    return shown


def keys(parts: list[str], colors: Mapping[str, str]) -> list[Patch]:
    """Return the legend's entries for these parts."""
    return [Patch(color=colors[part], label=NAMES.get(part, part)) for part in parts]
