"""What must be stored: a stacked bar per design, what lies beside the codes enlarged, and the activations."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter

from hwsim.cost.storage import storage
from hwsim.workload import Workload
from reports.figures import bars, style
from reports.figures.layer_costs import STORAGE_COLORS

ACTIVATION_COLORS = {"peak": "#cc79a7", "all inputs of products": "#666666"}
ACTIVATIONS = {"activation_peak_bits": "peak", "activation_bits": "all inputs of products"}
PEAK_NOTE = "(the peak is of all live tensors; values that\nare no codes count 32 bits in it, at every width)"
COLUMNS = ["design", "quantity", "part", "value", "unit", "convention"]
LINE_HEIGHT_IN = 0.11
FONT = 6.5
INVISIBLE = 0.02  #: of the widest bar: what is narrower is written, since it cannot be seen


def data(designs: Mapping[str, Workload]) -> pd.DataFrame:
    """Return the stored bits of each design by part: the sums of `hwsim.cost.storage`'s entries over layers.

    Parts: codes, affine (batch norm), scales, bias, table, padding; of activations the peak, where the workload says
    what its layers read, and the total of what products read. Columns: design, quantity, part, value, unit, convention.
    """
    rows = [
        {"design": name, **entry._asdict(), "part": ACTIVATIONS.get(entry.quantity, entry.part.rpartition(".")[2])}
        for name, workload in designs.items()
        for entry in storage(workload)
    ]
    return bars.summed(pd.DataFrame(rows)[COLUMNS])


def draw(stored: pd.DataFrame) -> Figure:
    """Return the figure: parameters in all, parameters without the codes, activations; a bar per design in each."""
    parameters = stored[stored["quantity"] == "storage_bits"]
    beside = parameters[parameters["part"] != "codes"]
    activations = stored[stored["quantity"] != "storage_bits"]
    with style.paper():
        lines = [1 + style.wrapped(name).count("\n") for name in stored["design"].unique()]
        drawing = style.figure(height_in=2.6 + 3 * LINE_HEIGHT_IN * len(lines) * (0.6 + max(lines)))
        whole, small, live = drawing.subplots(3, 1)
        _stack(whole, parameters, f"parameters [bit]\n({parameters['convention'].iloc[0]})")
        _write_invisible(small, _stack(small, beside, "parameters without the codes [bit]"))
        _activations(live, activations)
        drawing.legend(handles=live.containers, loc="outside lower center", ncols=2, handlelength=1)
        parts = [part for part in STORAGE_COLORS if (parameters["part"] == part).any()]
        drawing.legend(
            handles=bars.keys(parts, STORAGE_COLORS),
            loc="outside upper center",
            ncols=len(parts),
            columnspacing=1,
            handlelength=1,
        )
    return drawing


def _stack(axes: Axes, rows: pd.DataFrame, label: str) -> pd.DataFrame:
    """Draw the bars, and return what they show."""
    table = bars.stacked(rows, "design", STORAGE_COLORS)
    bars.draw(axes, table, STORAGE_COLORS, FONT)
    bars.scale(axes, "bit")
    axes.set_xlabel(label)
    return table


def _write_invisible(axes: Axes, table: pd.DataFrame) -> None:
    """Write behind each bar what is too narrow to be seen in it."""
    widest = table.sum(axis=1).max()
    axes.set_xlim(0, 1.16 * widest)
    for place, (_, row) in enumerate(table.iterrows()):
        hidden = row[(row > 0) & (row < INVISIBLE * widest)]
        text = ", ".join(f"{part} {EngFormatter(sep='', places=0)(bits)}" for part, bits in hidden.items())
        at = (row.sum(), -place)
        axes.annotate(text, at, (2, 0), textcoords="offset points", va="center", fontsize=6, color=style.GREY)


def _activations(axes: Axes, rows: pd.DataFrame) -> None:
    """Draw the peak and the total beside each other: they are not parts of one sum."""
    designs = list(rows["design"].unique())
    kinds = [kind for kind in ACTIVATION_COLORS if (rows["part"] == kind).any()]
    height = 0.78 / len(kinds)
    for step, kind in enumerate(kinds):
        values = rows[rows["part"] == kind].set_index("design")["value"].reindex(designs)
        places = -np.arange(len(designs)) + 0.39 - (step + 0.5) * height
        axes.barh(places, values, height, color=ACTIVATION_COLORS[kind], label=kind)
    axes.set_yticks(-np.arange(len(designs)), [style.wrapped(name) for name in designs], fontsize=FONT)
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="y", visible=False)
    bars.scale(axes, "bit")
    axes.set_xlabel(f"activations [bit]\n{PEAK_NOTE}")
