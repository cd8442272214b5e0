"""Quantization error of each block of a network, and accumulated up to it (as ASQ, arXiv:2504.17263, Fig. 5)."""

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from reports.figures import style
from reports.measured import Arrays, Measured, check_same, images_text, joined, spread

ERROR = r"$\|h-f\|^2/\|f\|^2$"
#: Column of what was measured -> title of its panel.
PANELS = {"own": "each block, fed with float features", "accumulated": "accumulated, from the images on"}


def data(measured: Measured) -> pd.DataFrame:
    """Return the spread over images of the errors that `trainers.measurements.block_errors` measures.

    Columns: run, error (own or accumulated), block, images, mean, p5, p25, median, p75, p95.

    Raises:
        ValueError: the runs have not the same blocks.
    """
    check_same(measured, "blocks")
    return joined({run: pd.concat([_spread(arrays, error) for error in PANELS]) for run, arrays in measured.items()})


def _spread(arrays: Arrays, error: str) -> pd.DataFrame:
    rows = spread(arrays[error], [str(name) for name in arrays["blocks"]], "block")
    rows.insert(0, "error", error)
    return rows


def draw(rows: pd.DataFrame) -> Figure:
    """Return the figure: own errors above accumulated ones, a line per run, in a band from quartile to quartile."""
    with style.paper():
        drawing = style.figure(height_in=3.4)
        panels = drawing.subplots(2, 1, sharex=True, sharey=True)
        for axes, (error, title) in zip(panels, PANELS.items(), strict=True):
            _panel(axes, rows[rows["error"] == error])
            axes.set_title(title)
        style.log_scale(panels[0])
        blocks = list(rows["block"].unique())
        panels[1].set_xticks(range(len(blocks)), blocks, rotation=90)
        panels[1].set_xlabel("block")
        drawing.supylabel(f"relative error {ERROR} [%]", fontsize=style.RC["axes.labelsize"])
        handles, labels = panels[0].get_legend_handles_labels()
        shown = f"median and quartiles of {images_text(rows)}"
        drawing.legend(handles, labels, title=shown, loc="outside upper center", ncols=2)
    return drawing


def _panel(axes: Axes, rows: pd.DataFrame) -> None:
    for run, look in style.series(list(rows["run"].unique()), "runs").items():
        chosen = rows[rows["run"] == run]
        places = range(len(chosen))
        axes.fill_between(places, 100 * chosen["p25"], 100 * chosen["p75"], color=look.color, alpha=0.15, linewidth=0)
        axes.plot(places, 100 * chosen["median"], color=look.color, marker=look.marker, markersize=3, label=run)
