"""Accuracy of trained networks against the width of their accumulators, wrapping and saturating."""

from collections.abc import Mapping, Sequence

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from hwsim.accumulators import accuracy_rows, default_widths, layer_rows
from hwsim.output import Row
from reports.figures import lines, style
from reports.tested import TrainedNetwork, check_designs

COLUMNS = [
    *("design", "seed", "bits", "overflow", "images", "correct", "accuracy", "overflows"),
    *("bits_seen", "bits_worst_case"),
]
NAMES = {"wrap": "wraps", "saturate": "saturates"}
LIMITS: Mapping[str, tuple[str, str]] = {
    "bits_seen": (":", "widest that these images need"),
    "bits_worst_case": ("--", "always enough"),
}


def data(networks: Sequence[TrainedNetwork], widths: Sequence[int] | None = None) -> pd.DataFrame:
    """Return the accuracy of each network with one accumulator in all layers, as `hwsim.accumulators` simulates it.

    Columns: design, seed, bits, overflow (wrap or saturate), images, correct, accuracy (share of the images), overflows
    (sums that left the register); bits_seen and bits_worst_case, of the layer that needs most.

    Args:
        networks: of all designs.
        widths: to try; None is, for each design, what `default_widths` says of any of its networks.

    Raises:
        ValueError: there are more designs than a figure has room for, or images that do not fit a network.
    """
    check_designs(networks)
    layers = {run: layer_rows(run.network, run.images) for run in networks}
    usual: dict[str, set[int]] = {}
    for run, needed in layers.items():
        usual.setdefault(run.design, set()).update(default_widths(needed))
    rows = [
        {"design": run.design, "seed": run.seed, "images": len(run.labels), **_most(needed), **row}
        for run, needed in layers.items()
        for row in accuracy_rows(run.network, run.images, run.labels, widths or sorted(usual[run.design]))
    ]
    return pd.DataFrame(rows)[COLUMNS]


def _most(layers: Sequence[Row]) -> dict[str, int]:
    """Return the limits of the layer that needs most."""
    return {name: max(int(str(row[name])) for row in layers) for name in LIMITS}


def draw(rows: pd.DataFrame) -> Figure:
    """Return the figure: a panel per design, a line per overflow mode, and the widths that are enough."""
    shown = rows.assign(accuracy=100 * rows["accuracy"], accumulator=rows["overflow"].replace(NAMES))
    with style.paper():
        drawing, panels = lines.panels(rows, height_in=0.85)
        for design, (axes,) in panels.items():
            chosen = shown[shown["design"] == design]
            lines.draw(axes, chosen, "accumulator", "bits", "accuracy")
            _limits(axes, chosen)
            axes.set_ylabel("integer accuracy [%]")
        axes.set_xlabel("bits of every accumulator")
        drawing.legend(*axes.get_legend_handles_labels(), loc="outside upper center", ncols=2)
    return drawing


def _limits(axes: Axes, rows: pd.DataFrame) -> None:
    """Draw how wide accumulators must be, of the seed that needs most."""
    for name, (line, label) in LIMITS.items():
        axes.axvline(rows[name].max(), color=style.GREY, linewidth=0.9, linestyle=line, zorder=1, label=label)
