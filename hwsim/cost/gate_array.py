"""An array of synthesised processing elements: the energy of its products and idle elements, its area and its clock.

Each place of the array has one element of every multiplier that the layers need. Elements are those of the shipped
table (`hwsim.cost.gates`), bare: the registers of an array's cells are not counted. With uniform codes an
output-stationary cell of `hwsim.rtl.systolic` has 1.31 times the area of its element at 4 bits (1.22 times at 8), a
weight-stationary one 1.13 times (1.11).
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from hwsim.arithmetic import IntArray
from hwsim.cost.design import Design
from hwsim.cost.gates import GateRow, element_of, origin_for
from hwsim.cost.table import NETWORK, Entry
from hwsim.workload import Layer

FloatArray = NDArray[np.float64]

BARE = "bare elements, without the registers of an array's cells (for uniform4a4 31 % more in os, 13 % in ws)"
SHARED = "each place has one element of every multiplier that the layers need, nothing shared: an upper bound"
MEMORIES = "memories are of another technology"
IDLE = "clock pins of every element in cycles without a product, waiting for DRAM included; no clock is gated"
OWN = "energy per cycle on the layer's own operands"


@dataclass(frozen=True, eq=False)
class GateArray:
    """The synthesised processing elements that layers need.

    own_energy_fj: energy per product on the layers' own operands, by their keys; the others' operands are independent.

    Raises:
        MissingConstantError: the table lacks a layer's multiplier, or the layer has none.
        ValueError: own_energy_fj names what is no layer.
    """

    layers: tuple[Layer, ...]
    own_energy_fj: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        keys = {layer.key for layer in self.layers}
        for key in self.own_energy_fj:
            if key not in keys:
                raise ValueError(f"energies are of layers with products, and there is none called {key!r}")
        _ = self.elements

    @cached_property
    def elements(self) -> tuple[GateRow, ...]:
        """The element of each layer."""
        return tuple(map(element_of, self.layers))

    @property
    def kinds(self) -> tuple[GateRow, ...]:
        """The different elements."""
        return tuple(dict.fromkeys(self.elements))

    @property
    def products_pj(self) -> FloatArray:
        """Energy of each layer's products and sums, shape (layers,)."""
        per_product = (
            self.own_energy_fj.get(layer.key, row.measures["energy"])
            for layer, row in zip(self.layers, self.elements, strict=True)
        )
        return np.fromiter(per_product, np.float64) * self._macs / 1000

    @property
    def sources(self) -> list[str]:
        """Where each layer's energy comes from."""
        return [
            f"{f'{row.origin}; {OWN}' if layer.key in self.own_energy_fj else row.source}; {MEMORIES}"
            for layer, row in zip(self.layers, self.elements, strict=True)
        ]

    def idle_pj(self, place_cycles: IntArray) -> FloatArray:
        """Return the energy of the clock where no product is made, by the cycles of all places together.

        place_cycles: places times cycles, shape (layers,) or (designs, layers), as the result.
        """
        clocks = {row: row.measures["clock_energy"] for row in self.kinds}
        in_products = self._macs * np.array([clocks[row] for row in self.elements])
        return np.asarray((place_cycles * sum(clocks.values()) - in_products) / 1000, dtype=np.float64)

    def entries(self, design: Design) -> Iterator[Entry]:
        """Yield the area of the elements of each kind, in all places of an array, and the clock."""
        places = design.rows * design.columns
        several = f"; {SHARED}" if len(self.kinds) > 1 else ""
        for row in self.kinds:
            layers = [layer for layer, own in zip(self.layers, self.elements, strict=True) if own is row]
            source = f"{places} elements: {origin_for(row, layers)}; {BARE}{several}"
            yield Entry(NETWORK, row.circuit.name, "area", places * row.measures["area"], "um2", design.name, source)
        clock, source = self.clock_mhz(design.clock_mhz)
        yield Entry(NETWORK, "array", "clock", clock, "MHz", design.name, source)

    def clock_mhz(self, asked: float | None) -> tuple[float, str]:
        """Return the clock with its source: what was asked for, by default what the slowest element allows.

        Raises:
            ValueError: the slowest element is slower than what was asked for.
        """
        slowest = max(self.kinds, key=lambda row: row.measures["delay"])
        delay = slowest.measures["delay"]
        limit = 1e6 / delay
        allowed = f"the slowest element, {slowest.circuit.name}, whose {delay:.0f} ps allow {limit:.1f} MHz"
        if asked is not None and asked > limit:
            raise ValueError(f"clock_mhz must be at most that of {allowed}, got {asked:g}")
        return asked or limit, f"{'of' if asked is None else 'below'} {allowed}, flip-flops and wires apart"

    @property
    def _macs(self) -> FloatArray:
        return np.array([layer.macs for layer in self.layers], dtype=np.float64)
