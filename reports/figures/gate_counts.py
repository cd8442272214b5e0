"""Gates of multipliers and of processing elements against the bit width: what the kind of code really costs."""

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from hwsim.cost.gates import GateRow, load_gates
from hwsim.synthesis.circuits import UNITS_OF_HARDWARE
from reports.figures import style

#: Lines of the figure: (kind, layout, fraction bits) -> its name.
LINES: dict[tuple[str, str | None, int | None], str] = {
    ("uniform", None, None): "uniform",
    ("pot", None, None): "POT",
    ("post", "shared", 2): "POST, shared column",
    ("post", "full", 2): "POST, column per exponent",
    ("post", "literal", 2): "POST, every product stored",
    ("apot", None, None): "APoT",
    ("codebook", None, None): "codebook",
}
TITLES = {"multiplier": "multiplier", "pe": "with exact accumulator"}


def data() -> pd.DataFrame:
    """Return the shipped measurements that the figure shows: columns unit, circuit, bits, nand2, delay_ps."""
    return pd.DataFrame([_row(row) for row in load_gates() if _line(row) is not None])


def draw(gates: pd.DataFrame) -> Figure:
    """Return the figure: a panel for the multiplier, one for the processing element, a line per circuit."""
    looks = style.series(list(LINES.values()), "circuits")
    with style.paper():
        drawing = style.figure(style.PAGE_WIDTH_IN, 2.6)
        panels = drawing.subplots(1, len(UNITS_OF_HARDWARE))
        for axes, unit in zip(panels, UNITS_OF_HARDWARE, strict=True):
            _panel(axes, gates[gates["unit"] == unit], looks)
            axes.set_title(TITLES[unit])
            style.log_scale(axes)
        panels[0].set_ylabel("area [NAND2 gates, sky130]")
        drawing.supxlabel("bits of weight and activation", fontsize=style.RC["axes.labelsize"])
        handles, labels = panels[0].get_legend_handles_labels()
        drawing.legend(handles, labels, loc="outside upper center", ncols=4)
    return drawing


def _panel(axes: Axes, gates: pd.DataFrame, looks: dict[str, style.Look]) -> None:
    for name, look in looks.items():
        rows = gates[gates["circuit"] == name].sort_values("bits")
        axes.plot(rows["bits"], rows["nand2"], color=look.color, marker=look.marker, label=look.label)
    axes.set_xticks(sorted(gates["bits"].unique()))


def _line(row: GateRow) -> str | None:
    return LINES.get((row.circuit.kind, row.circuit.layout, row.circuit.fraction_bits))


def _row(row: GateRow) -> dict[str, object]:
    circuit = {"unit": row.circuit.unit, "circuit": _line(row), "bits": row.circuit.bits}
    return {**circuit, "nand2": row.gate_equivalents, "delay_ps": row.measures["delay"]}
