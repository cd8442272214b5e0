"""Where a network's cost lies: a stacked bar per layer, a panel per design."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from hwsim.cost import CostTable, Design, accelerator, arithmetic_energy, bops, parameter_storage
from hwsim.cost.counts import operation_counts
from hwsim.cost.table import NETWORK, Entry
from hwsim.errors import unknown_name
from hwsim.workload import Workload, WorkloadError
from reports.figures import bars, style

COLUMNS = ["quantity", "design", "layer", "part", "value", "unit", "convention"]
MAX_PANELS = 4
LAYER_HEIGHT_IN = 0.112
LAYER_FONT = 5.8

OPERATION_COLORS = {
    "multiply": "#0072b2",
    "shift": "#56b4e9",
    "table_read": "#d55e00",
    "add": "#b0b0b0",
    "compare": "#cc79a7",
    "reciprocal": "#000000",
    "nonlinear": "#f0e442",
}
STORAGE_COLORS = {
    "codes": "#0072b2",
    "affine": "#56b4e9",
    "scales": "#009e73",
    "bias": "#e69f00",
    "table": "#d55e00",
    "padding": "#b0b0b0",
}
MACHINE_COLORS = {
    "arithmetic": "#d55e00",
    "input buffer": "#56b4e9",
    "weight buffer": "#0072b2",
    "output buffer reads": "#cc79a7",
    "output buffer writes": "#009e73",
    "dram": "#b0b0b0",
}
ARITHMETIC_COLORS = {
    "products": "#0072b2",
    "sums": "#b0b0b0",
    "quantizers": "#d55e00",
    "batch norm": "#009e73",
    "adapter": "#cc79a7",
    "other": "#e69f00",
}
ARITHMETIC_PARTS = {
    "products": "products",
    "accumulate": "sums",
    "bias": "sums",
    "quantizer": "quantizers",
    "quantize": "quantizers",
    "threshold": "quantizers",
    "batch_norm": "batch norm",
    "rescale": "batch norm",  # what it becomes in integers
    "adapter": "adapter",
}


@dataclass(frozen=True)
class Quantity:
    """A cost that can be drawn per layer.

    Attributes:
        label: what the axis shows; the unit comes from the entries.
        table: its entries, of a workload on a piece of hardware.
        part: the part of the stack that an entry belongs to.
        colors: parts in the order of the stack.
        quantities: the quantities to add up; entries of others (operations without a price) are told, not drawn.
        on_array: whether the hardware matters.
    """

    label: str
    table: Callable[[Workload, Design], CostTable]
    part: Callable[[Entry], str]
    colors: Mapping[str, str]
    quantities: tuple[str, ...]
    on_array: bool = False


def _last(entry: Entry) -> str:
    return entry.part.rpartition(".")[2]


QUANTITIES: Mapping[str, Quantity] = {
    "operations": Quantity(
        "operations",
        lambda workload, _: operation_counts(workload),
        lambda entry: entry.quantity,
        OPERATION_COLORS,
        tuple(OPERATION_COLORS),
    ),
    "energy": Quantity(
        "energy with memory accesses",
        lambda workload, design: accelerator(workload, design).filter(quantity="energy"),
        lambda entry: entry.part,
        MACHINE_COLORS,
        ("energy",),
        on_array=True,
    ),
    "arithmetic": Quantity(
        "energy of the arithmetic alone",
        lambda workload, _: arithmetic_energy(workload),
        lambda entry: ARITHMETIC_PARTS.get(entry.part.partition(".")[0], "other"),
        ARITHMETIC_COLORS,
        ("energy",),
    ),
    "bops": Quantity(
        "BOPs",
        lambda workload, _: bops(workload, "macs_bits"),
        _last,
        {"products": "#0072b2"},
        ("bops",),
    ),
    "storage": Quantity(
        "parameter storage",
        lambda workload, _: parameter_storage(workload),
        _last,
        STORAGE_COLORS,
        ("storage_bits",),
    ),
}


def data(
    designs: Mapping[str, Workload], quantity: str = "operations", hardware: Sequence[Design] | None = None
) -> pd.DataFrame:
    """Return one cost of each layer of each design, split into parts: the sums of `hwsim.cost`'s entries.

    A layer is one with products; what stands between it and the next (batch norm, activation, pooling, addition) is
    counted with it. What belongs to no layer, such as a shared product table, is the layer `network`. Columns:
    quantity, design, layer, part, value, unit, convention.

    Args:
        designs: workloads by name, of one network.
        quantity: a name in `QUANTITIES`.
        hardware: arrays to run on, for the quantity `energy`; None is the default array.

    Raises:
        ValueError: the quantity is unknown or does not depend on the array that is given, a workload has no layer with
            products, the designs have different layers, or there are too many.
    """
    if quantity not in QUANTITIES:
        raise unknown_name("quantity", quantity, QUANTITIES)
    if hardware and not QUANTITIES[quantity].on_array:
        raise ValueError(f"the quantity {quantity} does not depend on the array; energy does")
    _check_designs(designs)
    arrays = list(hardware or [Design()])
    rows = [
        {"quantity": quantity, "design": name if len(arrays) == 1 else f"{name}\n{array.name}", **row}
        for name, workload in designs.items()
        for array in arrays
        for row in _rows(workload, QUANTITIES[quantity], array)
    ]
    return bars.summed(pd.DataFrame(rows)[COLUMNS])


def _check_designs(designs: Mapping[str, Workload]) -> None:
    layers = {name: [layer.name for layer in workload.mac_layers] for name, workload in designs.items()}
    first = next(iter(layers))
    for name, names in layers.items():
        if not names:
            raise WorkloadError(f"workload {name} has no layer with products to draw")
        if names != layers[first]:
            raise ValueError(f"costs per layer are drawn of one network; {name} has other layers than {first}")


def _rows(workload: Workload, quantity: Quantity, array: Design) -> list[dict[str, object]]:
    owners = owning_layers(workload)
    return [
        {
            "layer": owners[entry.layer],
            "part": quantity.part(entry) if entry.quantity in quantity.quantities else entry.quantity,
            "value": entry.value,
            "unit": entry.unit,
            "convention": entry.convention,
        }
        for entry in quantity.table(workload, array)
    ]


def owning_layers(workload: Workload) -> dict[str, str]:
    """Return for each layer the layer with products that it stands at or behind; the first, if it stands before."""
    products = {layer.name: None for layer in workload.mac_layers}
    owners, current = {NETWORK: NETWORK}, next(iter(products))
    for layer in workload:
        current = layer.name if layer.name in products else current
        owners[layer.name] = current
    return owners


def draw(costs: pd.DataFrame) -> Figure:
    """Return the figure: a panel per design, a bar per layer from top to bottom, stacked by part, one common scale.

    Raises:
        ValueError: there are more designs than panels.
    """
    quantity = QUANTITIES[costs["quantity"].iloc[0]]
    shown = costs[costs["part"].isin(list(quantity.colors))]
    panels = list(shown.groupby("design", sort=False))
    if len(panels) > MAX_PANELS:
        raise ValueError(f"costs per layer are drawn for at most {MAX_PANELS} designs, got {len(panels)}")
    width = style.COLUMN_WIDTH_IN if len(panels) == 1 else style.PAGE_WIDTH_IN
    with style.paper():
        drawing = style.figure(width, 1.15 + LAYER_HEIGHT_IN * shown["layer"].nunique())
        spaces = {"wspace": 0.06}  # so that the last number of a panel does not touch the next one's first
        grid = drawing.subplots(1, len(panels), sharex=True, sharey=True, squeeze=False, gridspec_kw=spaces)[0]
        for axes, (name, rows) in zip(grid, panels, strict=True):
            bars.draw(axes, bars.stacked(rows, "layer", quantity.colors), quantity.colors, LAYER_FONT)
            axes.set_title("\n".join(map(style.wrapped, str(name).split("\n"))))
        _label(drawing, grid[0], costs, quantity)
        parts = [part for part in quantity.colors if (shown.loc[shown["part"] == part, "value"] > 0).any()]
        _legend(drawing, parts, quantity)
    return drawing


def _label(drawing: Figure, axes: Axes, costs: pd.DataFrame, quantity: Quantity) -> None:
    drawn = costs["part"].isin(list(quantity.colors))
    unit = bars.scale(axes, costs.loc[drawn, "unit"].iloc[0])
    label = quantity.label if unit == "operation" else f"{quantity.label} [{unit}]"
    titles = "\n".join(costs["design"].unique())
    conventions = [how for how in costs.loc[drawn, "convention"].unique() if how not in titles]
    notes = [f"({how.removeprefix('operations ')})" for how in conventions]
    notes += [f"not priced: {count:.3g} operations" for count in [costs.loc[~drawn, "value"].sum()] if count]
    drawing.supxlabel("\n".join([label, *notes]), fontsize=style.RC["axes.labelsize"])


def _legend(drawing: Figure, parts: list[str], quantity: Quantity) -> None:
    if len(parts) > 1:
        names = bars.keys(parts, quantity.colors)
        drawing.legend(handles=names, loc="outside upper center", ncols=3 if len(parts) < 7 else 4, handlelength=1)
