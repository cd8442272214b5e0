"""Weights and activations of one layer before and after quantization (as ASQ, arXiv:2504.17263, Figs. 1 and 4)."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter
from numpy.typing import NDArray

from reports.figures import style
from reports.measured import Arrays, Measured, check_same, joined

BINS = 161  #: Odd, so that a range around zero has a bin for zero.
FACTOR_BINS = 24
FLOAT, QUANTIZED = "float", "quantized"
HEAD_IN, ROW_HEIGHT_IN = 0.6, 1.3
SMALLEST_PERCENT = 0.01  #: Where the axis of shares begins; a tensor of fewer values has none that are smaller.

#: Tensor -> label of its axis.
TENSORS: Mapping[str, str] = {
    "weights": "weight / largest level",
    "activations": "activation",
    "factors": r"$\beta$ = step / learned step",
}


def data(measured: Measured) -> pd.DataFrame:
    """Return histograms of what `trainers.measurements.distributions` returns.

    Columns: run, layer, tensor (weights, activations, factors), series (float, quantized), low, high (ends of the bin),
    share (of the tensor's values, in 0..1). Both series of a tensor have the same bins; those of weights are around 0.
    Of factors, which ASQ has, one per image, there are only float ones.

    Raises:
        ValueError: the runs have not the same layer.
    """
    check_same(measured, "layer")
    return joined({run: _histograms(arrays) for run, arrays in measured.items()})


def _histograms(arrays: Arrays) -> pd.DataFrame:
    largest = max(np.abs(arrays[name]).max() for name in ("weights", "weights_quantized"))
    parts = [*_both(arrays, "weights", (-largest, largest)), *_both(arrays, "activations", None)]
    if "factors" in arrays:
        parts.append(_histogram("factors", FLOAT, arrays["factors"], _ends(arrays["factors"], FACTOR_BINS)))
    rows = pd.concat(parts, ignore_index=True)
    rows.insert(0, "layer", str(arrays["layer"]))
    return rows


def _ends(values: NDArray[Any], bins: int, limits: tuple[float, float] | None = None) -> NDArray[Any]:
    """Return the ends of equal bins from the smallest to the largest value, or between limits, in float64."""
    return np.histogram_bin_edges(values.astype(np.float64), bins, limits)


def _both(arrays: Arrays, tensor: str, limits: tuple[float, float] | None) -> list[pd.DataFrame]:
    both = {FLOAT: arrays[tensor], QUANTIZED: arrays[f"{tensor}_quantized"]}
    ends = _ends(np.concatenate([*both.values()]), BINS, limits)
    return [_histogram(tensor, series, values, ends) for series, values in both.items()]


def _histogram(tensor: str, series: str, values: NDArray[Any], ends: NDArray[Any]) -> pd.DataFrame:
    counts, _ = np.histogram(values.astype(np.float64), ends)
    shares = counts / values.size
    return pd.DataFrame({"tensor": tensor, "series": series, "low": ends[:-1], "high": ends[1:], "share": shares})


def draw(rows: pd.DataFrame) -> Figure:
    """Return the figure: a row of panels per run, grey before and coloured after quantization.

    A third panel has the factors of the step, where a run has such.
    """
    runs = list(rows["run"].unique())
    tensors = [tensor for tensor in TENSORS if tensor in set(rows["tensor"])]
    with style.paper():
        width = style.COLUMN_WIDTH_IN if len(tensors) == 2 else style.PAGE_WIDTH_IN
        drawing = style.figure(width, HEAD_IN + ROW_HEIGHT_IN * len(runs))
        grid = drawing.subplots(len(runs), len(tensors), squeeze=False, sharex="col")
        for panels, (run, look) in zip(grid, style.series(runs, "runs").items(), strict=True):
            own = {tensor: rows[(rows["run"] == run) & (rows["tensor"] == tensor)] for tensor in tensors}
            for axes, tensor in zip(panels, tensors, strict=True):
                (_factors if tensor == "factors" else _values)(axes, own[tensor], look)
            panels[0].set_ylabel("share of values [%]")
        grid[0, 0].set_title(f"weights of {rows['layer'].iloc[0]}")
        grid[0, 1].set_title("activations that enter it")
        for axes, tensor in zip(grid[-1], tensors, strict=True):
            axes.set_xlabel(TENSORS[tensor])
        keys = _keys(runs)
        drawing.legend([*keys.values()], [*keys], loc="outside upper center", ncols=len(tensors))
    return drawing


def _values(axes: Axes, rows: pd.DataFrame, look: style.Look) -> None:
    axes.set_yscale("log")
    axes.set_ylim(SMALLEST_PERCENT, 100)
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.minorticks_off()
    for series, color in ((FLOAT, style.LIGHT), (QUANTIZED, look.color)):
        _stairs(axes, rows[rows["series"] == series], color, SMALLEST_PERCENT)


def _factors(axes: Axes, rows: pd.DataFrame, look: style.Look) -> None:
    axes.set_ylabel("share of images [%]")
    if rows.empty:
        axes.set_yticks([])
        axes.text(0.5, 0.5, "one step for all images", transform=axes.transAxes, ha="center", backgroundcolor="white")
    else:
        _stairs(axes, rows, look.color, 0)


def _stairs(axes: Axes, rows: pd.DataFrame, color: str, baseline: float) -> None:
    ends = [*rows["low"], rows["high"].iloc[-1]]
    axes.stairs(100 * rows["share"], ends, fill=True, color=color, baseline=baseline)


def _keys(runs: Sequence[str]) -> dict[str, Patch]:
    """Return the legend's entries."""
    looks = style.series(runs, "runs")
    quantized = {f"after, {run}": Patch(color=look.color) for run, look in looks.items()}
    return {"before quantization": Patch(color=style.LIGHT), **quantized}
