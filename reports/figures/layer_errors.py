"""Quantization error of each layer's activations with its spread over images (as ASQ, arXiv:2504.17263, Fig. 6)."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from reports.figures import style
from reports.measured import Measured, check_same, images_text, joined, spread

ERROR = r"$\|q(x)-x\|^2/\|x\|^2$"
SPAN = 0.7  #: Share of a layer's place that its runs take together.
LAYERS_IN_COLUMN = 12  #: More take both columns of a page.


def data(measured: Measured) -> pd.DataFrame:
    """Return the spread over images of the errors that `trainers.measurements.layer_errors` measures.

    Columns: run, layer, images, mean, p5, p25, median, p75, p95.

    Raises:
        ValueError: the runs have not the same layers.
    """
    check_same(measured, "layers")
    return joined(
        {run: spread(arrays["errors"], [*map(str, arrays["layers"])], "layer") for run, arrays in measured.items()}
    )


def draw(rows: pd.DataFrame) -> Figure:
    """Return the figure: per layer and run the median, a thick line between quartiles, a thin one from 5 to 95 %."""
    with style.paper():
        layers = list(rows["layer"].unique())
        width = style.COLUMN_WIDTH_IN if len(layers) <= LAYERS_IN_COLUMN else style.PAGE_WIDTH_IN
        drawing = style.figure(width, 2.9)
        axes = drawing.subplots()
        looks = style.series(list(rows["run"].unique()), "runs")
        aside = SPAN * (np.arange(len(looks)) + 0.5) / len(looks) - SPAN / 2
        for (run, look), step in zip(looks.items(), aside, strict=True):
            _spreads(axes, rows[rows["run"] == run], layers, step, look)
        style.log_scale(axes)
        axes.set_xticks(range(len(layers)), layers, rotation=90)
        axes.grid(axis="x", visible=False)
        axes.set_ylabel(f"relative error {ERROR} [%]")
        axes.set_xlabel("layer whose input is quantized")
        shown = f"median, quartiles, 5 to 95 % of {images_text(rows)}"
        drawing.legend(title=shown, loc="outside upper center", ncols=2)
    return drawing


def _spreads(axes: Axes, rows: pd.DataFrame, layers: list[str], aside: float, look: style.Look) -> None:
    places = np.array([layers.index(layer) for layer in rows["layer"]]) + aside
    axes.vlines(places, 100 * rows["p5"], 100 * rows["p95"], color=look.color, linewidth=0.6)
    axes.vlines(places, 100 * rows["p25"], 100 * rows["p75"], color=look.color, linewidth=3)
    axes.plot(places, 100 * rows["median"], look.marker, color=look.color, markersize=2.8, markeredgecolor="white",
              markeredgewidth=0.4, label=look.label)  # fmt: skip
