"""The layers of designs on the roofline: what memory and what the array allow, and what is reached."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator
from matplotlib.transforms import ScaledTranslation

from hwsim.cost import Design, accelerator
from hwsim.cost.counts import macs
from hwsim.cost.throughput import STYLES
from hwsim.workload import Layer, Workload
from reports.figures import style

#: Shapes of layers, and how their points are drawn.
SHAPES = {"convolution": "o", "1x1 convolution": "s", "depthwise": "^", "linear": "D", "matmul": "v"}
SHORT = 20  #: Characters of a name that leave room for two side by side.
MARGIN = 1.6  #: of the axes, as a factor


def data(designs: Mapping[str, Workload], hardware: Sequence[Design] | None = None) -> pd.DataFrame:
    """Return a row per design, array and layer with products.

    intensity [MAC/bit] and attainable [MAC/cycle] are `hwsim.cost.accelerator`'s intensity and roofline; attained
    [MAC/cycle] is the layer's MACs over its total cycles. peak [MAC/cycle] is the array's at the layer's widths,
    bandwidth [bit/cycle] the DRAM's. Other columns: design, array, layer, shape, weight_bits, activation_bits.

    Args:
        designs: workloads by name.
        hardware: arrays to run on; None is the default array.

    Raises:
        ValueError: a workload has no layer with products, or a technology lacks a price.
    """
    arrays = hardware or [Design()]
    cases = [(name, workload, array) for name, workload in designs.items() for array in arrays]
    return pd.DataFrame([row for case in cases for row in _rows(*case)])


def _rows(name: str, workload: Workload, array: Design) -> list[dict[str, object]]:
    run, products = accelerator(workload, array), macs(workload)
    quantities = ("intensity", "roofline", "total_cycles")
    values = {(e.layer, e.part, e.quantity): e.value for e in run if e.quantity in quantities}
    rows = []
    for layer, entry in zip(workload.mac_layers, products, strict=True):
        part = f"{layer.part}.array" if layer.part else "array"
        intensity, roofline, cycles = (values[layer.name, part, quantity] for quantity in quantities)
        rows.append(
            {
                "design": name,
                "array": array.name,
                "layer": layer.key,
                "shape": shape_of(layer),
                "weight_bits": layer.weight_bits,
                "activation_bits": layer.activation_bits,
                "intensity": intensity,
                "attained": entry.value / cycles,
                "attainable": roofline,
                "peak": _peak(layer, array),
                "bandwidth": array.dram_bits_per_cycle,
            }
        )
    return rows


def _peak(layer: Layer, array: Design) -> float:
    widths = (np.array(bits, dtype=np.int64) for bits in (layer.weight_bits, layer.activation_bits))
    products, cycles = STYLES[array.style](*widths)
    return array.rows * array.columns * float(products / cycles)


def shape_of(layer: Layer) -> str:
    """Return which of `SHAPES` a layer with products has."""
    if layer.kind in ("linear", "matmul"):
        return layer.kind
    if layer.groups == layer.C > 1:
        return "depthwise"
    return "1x1 convolution" if layer.FY == layer.FX == 1 else "convolution"


def draw(points: pd.DataFrame) -> Figure:
    """Return the figure: a colour per design and array, a marker per shape of layer, and the roofs with their height.

    Raises:
        ValueError: there are more designs and arrays than can be told apart.
    """
    named = points.assign(case=_cases(points))
    looks = style.series(list(named["case"].unique()), "designs")
    with style.paper():
        drawing = style.figure(height_in=3.1 + 0.13 * len(looks))
        axes = drawing.subplots()
        axes.set(xscale="log", yscale="log")
        _limits(axes, points)
        _roofs(axes, points)
        for (case, shape), rows in named.groupby(["case", "shape"], sort=False):
            _points(axes, rows, looks[str(case)].color, SHAPES[str(shape)])
        axes.set_xlabel(_label(points))
        axes.set_ylabel("throughput reached [MAC/cycle]")
        _legends(drawing, looks, [shape for shape in SHAPES if (points["shape"] == shape).any()])
    return drawing


def _cases(points: pd.DataFrame) -> "pd.Series[str]":
    """Return what the legend calls a point: its design, its array, or both where both vary."""
    if points["array"].nunique() == 1:
        return points["design"]
    return points["array"] if points["design"].nunique() == 1 else points["design"] + " on " + points["array"]


def _label(points: pd.DataFrame) -> str:
    """Return the label of the axis, with the array or the design that all points share and the legend leaves out."""
    shared = points["array"] if points["array"].nunique() == 1 else points["design"]
    return "intensity [MAC/bit of DRAM traffic]" + (f"\n{shared.iloc[0]}" if shared.nunique() == 1 else "")


def _limits(axes: Axes, points: pd.DataFrame) -> None:
    ridge = points["peak"] / points["bandwidth"]
    axes.set_xlim(
        min(points["intensity"].min(), ridge.min()) / MARGIN, max(points["intensity"].max(), ridge.max()) * MARGIN
    )
    axes.set_ylim(points["attained"].min() / MARGIN, points["peak"].max() * MARGIN)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(LogLocator())
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.minorticks_off()


def _points(axes: Axes, rows: pd.DataFrame, color: str, marker: str) -> None:
    axes.plot(
        rows["intensity"],
        rows["attained"],
        marker,
        color=color,
        markersize=4.2,
        markeredgecolor="white",
        markeredgewidth=0.4,
        alpha=0.85,
        zorder=3,
    )


def _roofs(axes: Axes, points: pd.DataFrame) -> None:
    """Draw each memory roof up to the highest peak, and each peak of an array from the memory roof on."""
    (left, right), high = axes.get_xlim(), points["peak"].max()
    for bandwidth in points["bandwidth"].unique():
        axes.plot([left, high / bandwidth], [left * bandwidth, high], color=style.BLACK, linewidth=0.9, zorder=2)
        _memory_label(axes, bandwidth, max(left, axes.get_ylim()[0] / bandwidth), high / bandwidth)
        for peak in points.loc[points["bandwidth"] == bandwidth, "peak"].unique():
            axes.plot([peak / bandwidth, right], [peak, peak], color=style.BLACK, linewidth=0.9, zorder=2)
    _name_peaks(axes, points)


def _memory_label(axes: Axes, bandwidth: float, low: float, high: float) -> None:
    """Write above the memory roof, along it, in the lower half of what is seen: nothing can lie there."""
    place = float(low**0.7 * high**0.3)
    aside = ScaledTranslation(-2.2 / 72, 1.8 / 72, axes.get_figure(root=True).dpi_scale_trans)  # type: ignore[union-attr]
    axes.text(
        place,
        place * bandwidth,
        f"DRAM: {bandwidth:g} bit/cycle",
        rotation=float(np.degrees(np.arctan(bandwidth))),
        rotation_mode="anchor",
        transform_rotates_text=True,
        transform=axes.transData + aside,
        ha="center",
        fontsize=6.5,
    )


def _name_peaks(axes: Axes, points: pd.DataFrame) -> None:
    """Write each peak at the right, with the widths it belongs to where an array has several."""
    several = points.groupby("array")["peak"].nunique().max() > 1
    widths = points["weight_bits"].astype(str) + "x" + points["activation_bits"].astype(str)
    names = {peak: ", ".join(sorted(group.unique())) for peak, group in widths.groupby(points["peak"])}
    side = axes.secondary_yaxis("right")
    side.set_yticks(list(names), [f"{peak:g} ({name})" if several else f"{peak:g}" for peak, name in names.items()])
    side.set_ylabel("peak of the array [MAC/cycle]" + ("\n(bits of weights x activations)" if several else ""))
    side.minorticks_off()
    side.spines["right"].set_visible(False)


def _legends(drawing: Figure, looks: Mapping[str, style.Look], shapes: Sequence[str]) -> None:
    cases = [Line2D([], [], linestyle="", marker="o", color=look.color, label=name) for name, look in looks.items()]
    kinds = [Line2D([], [], linestyle="", marker=SHAPES[name], color=style.GREY, label=name) for name in shapes]
    columns = 1 if max(map(len, looks)) > SHORT else min(2, len(looks))
    drawing.legend(handles=cases, loc="outside upper center", ncols=columns, handlelength=1)
    drawing.legend(handles=kinds, loc="outside lower center", ncols=4, handlelength=1, columnspacing=1.2)
