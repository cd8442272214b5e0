"""The costs that the page of a study can plot accuracy against."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class CostAxis:
    """One cost of a design.

    Attributes:
        label: what the axis is called.
        short: the heading of its column.
        unit: unit of the values; empty for a count.
        note: what is counted, by which convention.
    """

    label: str
    short: str
    unit: str
    note: str


ON_ARRAY = "one image on an array of 32 x 32, output stationary, native style, constants of horowitz2014"

AXES: Mapping[str, CostAxis] = {
    "bops": CostAxis("bit operations per image", "BOPs", "", "MACs x weight bits x activation bits"),
    "storage": CostAxis("weight storage", "storage", "bit", "weight codes, without scales and biases"),
    "energy": CostAxis("energy per image", "energy", "pJ", f"arithmetic, buffers and DRAM; {ON_ARRAY}"),
    "area": CostAxis(
        "area of the processing element",
        "area",
        "µm²",
        "multiplier of most products, accumulator for 4608 of them; bare elements in gates of sky130",
    ),
    "cycles": CostAxis("cycles per image", "cycles", "", f"longer of computation and transfers; {ON_ARRAY}"),
}
