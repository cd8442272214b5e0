"""Product error of the POST table against its fraction bits: how precise the table must be."""

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from hwsim.formats import Uniform, make_format
from hwsim.multipliers import multiplier_for
from reports.figures import style

# The layouts share their largest error: a dot inside a ring keeps both visible.
LAYOUT_LOOKS: dict[str, dict[str, Any]] = {
    "full": {"color": "#0072b2", "marker": "o", "markersize": 4.8, "markerfacecolor": "none", "linewidth": 0.9},
    "shared": {"color": "#d55e00", "marker": "o", "markersize": 2.2, "linewidth": 0.9},
}
STATISTICS = {"max": "-", "mean": "--"}


def data(bits: tuple[int, ...] = (3, 4), fraction_bits: tuple[int, ...] = tuple(range(13))) -> pd.DataFrame:
    """Return the relative product error per weight and activation width, table layout and fraction bits.

    Columns: bits (of weight and activation), layout, fraction_bits, max_error, mean_error: |product - exact| / exact
    over all pairs of non-zero codes, each pair counted once.
    """
    cases = [(b, layout, k) for b in bits for layout in LAYOUT_LOOKS for k in fraction_bits]
    return pd.DataFrame([_errors(*case) for case in cases])


def _errors(bits: int, layout: str, fraction_bits: int) -> dict[str, object]:
    weight, activation = make_format("post", bits), Uniform(bits, signed=False)
    circuit = multiplier_for(weight, activation, fraction_bits, layout)
    w_codes, a_codes = (f.codes[f.levels[f.codes] != 0] for f in (weight, activation))
    exact = weight.levels[w_codes][:, None] * activation.levels[a_codes]
    products = circuit.multiply(w_codes[:, None], a_codes) * circuit.unit
    errors = np.abs(products / exact - 1)
    numbers = {"max_error": float(errors.max()), "mean_error": float(errors.mean())}
    return {"bits": bits, "layout": layout, "fraction_bits": fraction_bits, **numbers}


def draw(errors: pd.DataFrame) -> Figure:
    """Return the figure: a panel per bit width, colour for the layout, line style for maximum and mean."""
    with style.paper():
        drawing = style.figure(height_in=2.2)
        widths = sorted(errors["bits"].unique())
        panels = drawing.subplots(1, len(widths), sharey=True, squeeze=False)[0]
        for axes, bits in zip(panels, widths, strict=True):
            _panel(axes, errors[errors["bits"] == bits])
            axes.set_title(f"{bits}-bit codes")
        panels[0].set_ylabel("relative product error [%]")
        drawing.supxlabel("fraction bits of the table, $k$", fontsize=style.RC["axes.labelsize"])
        handles, labels = panels[0].get_legend_handles_labels()
        drawing.legend(handles, labels, loc="outside upper center", ncols=2)
    return drawing


def _panel(axes: Axes, errors: pd.DataFrame) -> None:
    for layout, look in LAYOUT_LOOKS.items():
        rows = errors[errors["layout"] == layout]
        for statistic, line in STATISTICS.items():
            label = f"{layout} table, {statistic}"
            axes.plot(rows["fraction_bits"], 100 * rows[f"{statistic}_error"], line, label=label, **look)
    axes.set_yscale("log")
    axes.minorticks_off()
    axes.set_xticks(range(0, int(errors["fraction_bits"].max()) + 1, 2))
