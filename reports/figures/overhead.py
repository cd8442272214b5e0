"""What ASQ's adapters add, against the bit width: by the paper's convention and as they run."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from hwsim.cost import overhead
from hwsim.cost.overhead import HONEST, TABLE1
from hwsim.workload import Workload
from reports.figures import style

PANELS = {"parameters_overhead": "parameters", "compute_overhead": "compute", "bops_overhead": "BOPs"}
PANEL_HEIGHT_IN = 1.35
DOUBLE = 100.0  #: percent: the adapters are as much as the network itself


@dataclass(frozen=True)
class Line:
    """How one convention is drawn, and what the legend calls it."""

    label: str
    style: Literal["-", "--"]
    fill: bool


CONVENTIONS: Mapping[str, Line] = {
    TABLE1: Line("as ASQ's Table 1 counts (adapter at 8 bits)", "--", False),
    HONEST: Line("as it runs (adapter at 32 bits, all operations)", "-", True),
}


def data(networks: Mapping[str, Workload], bits: Sequence[int] = (8, 4, 3, 2)) -> pd.DataFrame:
    """Return the overheads in percent as `hwsim.cost.overhead` counts them, in the paper's convention and as they run.

    Columns: network, bits, quantity, value, unit, convention, source.

    Raises:
        ValueError: a network has no convolution that gets an adapter.
    """
    rows = [
        {"network": name, "bits": width, **entry._asdict()}
        for name, workload in networks.items()
        for width in bits
        for entry in overhead(workload, [width]).filter(convention=CONVENTIONS)
    ]
    return pd.DataFrame(rows).drop(columns=["layer", "part"])


def draw(overheads: pd.DataFrame) -> Figure:
    """Return the figure: a panel per quantity, a colour per network, dashed as the paper counts and solid as it runs.

    Raises:
        ValueError: there are more networks than can be told apart.
    """
    looks = style.series(list(overheads["network"].unique()), "networks")
    with style.paper():
        drawing = style.figure(height_in=0.95 + PANEL_HEIGHT_IN * len(PANELS) + 0.13 * ((len(looks) + 2) // 3))
        grid = drawing.subplots(len(PANELS), 1, sharex=True)
        for axes, (quantity, title) in zip(grid, PANELS.items(), strict=True):
            _panel(axes, overheads[overheads["quantity"] == quantity], looks)
            axes.set_ylabel(f"{title} added [%]")
        grid[-1].set_xticks(sorted(overheads["bits"].unique()))
        grid[-1].set_xlabel("bits of weights and activations")
        _legends(drawing, looks, doubled=overheads["value"].max() > DOUBLE)
    return drawing


def _panel(axes: Axes, rows: pd.DataFrame, looks: Mapping[str, style.Look]) -> None:
    for (network, convention), chosen in rows.sort_values("bits").groupby(["network", "convention"], sort=False):
        look, line = looks[str(network)], CONVENTIONS[str(convention)]
        face: dict[str, Any] = {} if line.fill else {"markerfacecolor": "white"}
        axes.plot(
            chosen["bits"],
            chosen["value"],
            line.style,
            color=look.color,
            marker=look.marker,
            markersize=3.6,
            label=f"{network}, {convention}",
            **face,
        )
    style.log_scale(axes)
    if rows["value"].max() > DOUBLE:
        axes.axhline(DOUBLE, color=style.GREY, linewidth=0.8, linestyle=":", zorder=1)


def _legends(drawing: Figure, looks: Mapping[str, style.Look], doubled: bool) -> None:
    names = [Line2D([], [], color=look.color, marker=look.marker, label=look.label) for look in looks.values()]
    lines = [Line2D([], [], color=style.BLACK, ls=line.style, label=line.label) for line in CONVENTIONS.values()]
    if doubled:
        lines.append(Line2D([], [], color=style.GREY, ls=":", linewidth=0.8, label="as much as the network itself"))
    drawing.legend(handles=names, loc="outside upper center", ncols=3)
    drawing.legend(handles=lines, loc="outside lower center", handlelength=2.4)
