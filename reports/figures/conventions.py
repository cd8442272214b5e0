"""How much the convention decides: bit operations of one network as each convention counts them."""

from collections.abc import Mapping
from statistics import mode
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from hwsim.cost import CostTable
from hwsim.cost.bops import CONVENTIONS, all_bops
from hwsim.workload import FLOAT_BITS, Workload
from reports.figures import style

REFERENCE = "macs_bits"

# qonnx equals macs_bits: a dot inside a ring keeps both visible.
LOOKS: Mapping[str, dict[str, Any]] = {
    "macs_bits": {"color": "#0072b2", "marker": "o", "markersize": 6, "markerfacecolor": "none"},
    "qonnx": {"color": "#e69f00", "marker": "o", "markersize": 2.6, "linestyle": "--"},
    "uniq": {"color": "#d55e00", "marker": "s"},
    "ebops": {"color": "#009e73", "marker": "^"},
    "qonnx_sparse": {"color": "#56b4e9", "marker": "v"},
    "asq_linear": {"color": "#cc79a7", "marker": "D"},
}


def data(designs: Mapping[str, Workload]) -> pd.DataFrame:
    """Return the BOPs of each design under each convention, and what they are relative to others.

    relative_to_widest is the share of the widest design's number, in the same convention; relative_to_macs_bits the
    ratio to that convention's number for the same design, missing where the unit is another. bits is the width of most
    layers' weights. Columns: design, bits, convention, bops, unit, relative_to_widest, relative_to_macs_bits.

    Args:
        designs: workloads by name, of one network at several widths.

    Raises:
        ValueError: two designs have the same width, or there are fewer than two.
    """
    widths = _widths(designs)
    totals = {name: all_bops(workload).total() for name, workload in designs.items()}
    widest = totals[max(widths, key=lambda name: widths[name])]
    return pd.DataFrame(
        [
            {
                "design": name,
                "bits": widths[name],
                "convention": entry.convention,
                "bops": entry.value,
                "unit": entry.unit,
                "relative_to_widest": _ratio(entry.value, widest, entry.convention, entry.unit),
                "relative_to_macs_bits": _ratio(entry.value, table, REFERENCE, entry.unit),
            }
            for name, table in totals.items()
            for entry in table
        ]
    )


def _widths(designs: Mapping[str, Workload]) -> dict[str, int]:
    widths: dict[str, int] = {}
    for name, workload in designs.items():
        bits = mode(layer.weight.bits if layer.weight else FLOAT_BITS for layer in workload.mac_layers)
        if bits in widths.values():
            twin = next(other for other in widths if widths[other] == bits)
            raise ValueError(f"conventions are compared over bit widths; {twin} and {name} both have {bits}")
        widths[name] = bits
    if len(widths) < 2:
        raise ValueError(f"conventions are compared over at least two bit widths, got {len(widths)}")
    return widths


def _ratio(value: float, table: CostTable, convention: str, unit: str) -> float | None:
    """Return the value relative to the table's of that convention; None if it has none, or one of another unit."""
    below = [entry.value for entry in table if entry.convention == convention and entry.unit == unit]
    return value / below[0] if below else None


def draw(counted: pd.DataFrame) -> Figure:
    """Return the figure: each convention relative to itself at the largest width, and to `macs_bits`."""
    widest = counted["bits"].max()
    with style.paper():
        drawing = style.figure(height_in=3.6)
        grid = drawing.subplots(2, 1, sharex=True)
        for axes, column in zip(grid, ("relative_to_widest", "relative_to_macs_bits"), strict=True):
            _panel(axes, counted.dropna(subset=[column]), column)
        _name_other_units(grid[1], counted)
        grid[0].set_ylabel(f"BOPs / BOPs at {widest} bits")
        grid[1].set_ylabel(f"BOPs / BOPs by {REFERENCE}")
        grid[1].set_xticks(sorted(counted["bits"].unique()))
        grid[1].set_xlabel("bits of weights")
        drawing.legend(*grid[0].get_legend_handles_labels(), loc="outside upper center", ncols=3)
    return drawing


def _panel(axes: Axes, rows: pd.DataFrame, column: str) -> None:
    for convention in [name for name in CONVENTIONS if (rows["convention"] == name).any()]:
        chosen = rows[rows["convention"] == convention].sort_values("bits")
        axes.plot(chosen["bits"], chosen[column], label=convention, **LOOKS[convention])
    style.log_scale(axes)


def _name_other_units(axes: Axes, counted: pd.DataFrame) -> None:
    """Say which conventions the panel cannot show, and why."""
    missing = counted[counted["relative_to_macs_bits"].isna()].drop_duplicates("convention")
    text = "\n".join(f"not here: {row['convention']}, in {row['unit']}s" for _, row in missing.iterrows())
    axes.text(1, 1, text, transform=axes.transAxes, ha="right", va="top", fontsize=6, color=style.GREY)
