"""A network on an array of processing elements: cycles, utilization, traffic, roofline, time and energy."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hwsim.arithmetic import IntArray
from hwsim.cost.counts import part_of
from hwsim.cost.design import KIB, Design
from hwsim.cost.energy import price
from hwsim.cost.gates import element_area_um2, element_energy_pj
from hwsim.cost.operations import operations
from hwsim.cost.systolic import DATAFLOWS, Gemms, SramTraffic, ceil_div, dram_bits, gemms
from hwsim.cost.table import NETWORK, CostTable, Entry, Number
from hwsim.cost.technology import ENERGY_UNIT, Technology
from hwsim.cost.throughput import STYLES
from hwsim.workload import Layer, Workload, WorkloadError

FloatArray = NDArray[np.float64]

CYCLES = "closed form, equal to SCALE-Sim 3.0.0"
CYCLES_OF_STYLE = "closed form of SCALE-Sim 3.0.0, streams scaled by the products per cycle of style"
UTILIZATION = "MACs over peak MACs of cycles + 1 (SCALE-Sim counts from 0)"
SRAM = "closed form of the dataflow"
DEFAULT_DESIGN = Design()

GATES = "synthesised processing elements of gates.csv (sky130); memories are of another technology"
DRAM = "buffer-sized tiles, the cheaper loop order; inputs and outputs as codes, window overlap read once"


@dataclass(frozen=True, eq=False)
class Widths:
    """Bits of each layer's operands and sums, shape (layers,)."""

    weight: IntArray
    activation: IntArray
    sums: IntArray

    @classmethod
    def of(cls, layers: Sequence[Layer]) -> "Widths":
        """Return the widths of these layers."""
        rows = [(layer.weight_bits, layer.activation_bits, layer.sum_bits) for layer in layers]
        return cls(*np.array(rows, dtype=np.int64).reshape(-1, 3).T)


@dataclass(frozen=True, eq=False)
class Hardware:
    """The numbers of one design as scalars, or of many as arrays of shape (designs, 1), of one dataflow and style."""

    rows: IntArray
    columns: IntArray
    input_bits: IntArray
    weight_bits: IntArray
    dram_bits_per_cycle: IntArray

    @classmethod
    def of(cls, designs: Sequence[Design]) -> "Hardware":
        """Return the numbers of these designs, each of shape (designs, 1)."""
        rows = [(d.rows, d.columns, d.input_kib * KIB, d.weight_kib * KIB, d.dram_bits_per_cycle) for d in designs]
        return cls(*np.array(rows, dtype=np.int64).reshape(-1, 5, 1).transpose(1, 0, 2))


@dataclass(frozen=True, eq=False)
class Execution:
    """What running each layer takes, arrays of shape (layers,) or (designs, layers); cycles count the array alone."""

    cycles: IntArray
    traffic: SramTraffic
    dram_inputs: IntArray
    dram_weights: IntArray
    dram_outputs: IntArray
    dram_cycles: IntArray
    products: IntArray  #: Products that one element finishes ...
    per_cycles: IntArray  #: ... in this many cycles.

    @property
    def dram(self) -> IntArray:
        """Bits that cross to and from DRAM."""
        return self.dram_inputs + self.dram_weights + self.dram_outputs

    @property
    def total_cycles(self) -> IntArray:
        """Cycles with transfers hidden behind computation (double buffering): the longer of the two."""
        return np.maximum(self.cycles, self.dram_cycles)


def execute(g: Gemms, widths: Widths, hardware: Hardware, dataflow: str, style: str) -> Execution:
    """Return what the layers take on hardware of one dataflow and style."""
    products, per_cycles = STYLES[style](widths.weight, widths.activation)
    cycles, traffic = DATAFLOWS[dataflow](
        g, hardware.rows, hardware.columns, lambda length: ceil_div(length * per_cycles, products)
    )
    stored = g.inputs * widths.activation, g.weights * widths.weight
    inputs, weights = dram_bits(*stored, hardware.input_bits, hardware.weight_bits)
    outputs = g.outputs * widths.activation + np.zeros_like(inputs)
    transfer = ceil_div(inputs + weights + outputs, hardware.dram_bits_per_cycle)
    return Execution(cycles, traffic, inputs, weights, outputs, transfer, products, per_cycles)


def accelerator(workload: Workload, design: Design = DEFAULT_DESIGN) -> CostTable:
    """Return cycles, utilization, traffic per memory level, roofline, time and energy, per layer and for the network.

    Layers with products run on the array, one after the other; other layers take no time. Sums stay on chip. Energy
    holds products, sums and every access of the buffers and of DRAM.

    Raises:
        WorkloadError: no layer has products.
        ValueError: the technology has no row for an operation or an access.
    """
    layers = workload.mac_layers
    if not layers:
        raise WorkloadError(f"workload {workload.name} has no layer with products to put on an array")
    g, widths = gemms(layers), Widths.of(layers)
    whole = execute(g, widths, Hardware.of([design]), design.dataflow, design.style)
    energy = energies(layers, widths, whole, design)
    entries = [entry for i, layer in enumerate(layers) for entry in _layer(layer, i, whole, g, design, energy)]
    return CostTable((*entries, *_network(whole, g, design), *_area(layers, design)))


def energies(
    layers: Sequence[Layer], widths: Widths, run: Execution, design: Design
) -> dict[str, tuple[FloatArray, str]]:
    """Return energy in pJ, shape (layers,) or (designs, layers), with its source, for each part of the machine.

    Raises:
        ValueError: the technology has no row for an operation or an access.
    """
    technology = Technology(design.technology)
    arithmetic, source = _arithmetic(technology, layers, design)
    traffic = run.traffic
    accesses = (
        ("input buffer", "sram_read", design.input_kib, traffic.input_reads * widths.activation),
        ("weight buffer", "sram_read", design.weight_kib, traffic.weight_reads * widths.weight),
        ("output buffer reads", "sram_read", design.output_kib, traffic.sum_reads * widths.sums),
        ("output buffer writes", "sram_write", design.output_kib, traffic.sum_writes * widths.sums),
        ("dram", "dram_access", None, run.dram),
    )
    result = {"arithmetic": (arithmetic + np.zeros(run.cycles.shape), source)}
    for part, name, kib, bits in accesses:
        access = technology.access(name, 1, kib * KIB if kib else None)
        result[part] = (np.asarray(bits * access.energy_pj, dtype=np.float64), access.source)
    return result


def _arithmetic(technology: Technology, layers: Sequence[Layer], design: Design) -> tuple[FloatArray, str]:
    """Return the energy of each layer's products and sums in pJ, shape (layers,), and its source."""
    if design.arithmetic == "gates":
        return np.array(element_energy_pj(layers)), GATES
    return np.array([_operations(technology, layer) for layer in layers]), f"{technology.name}, operation by operation"


def _operations(technology: Technology, layer: Layer) -> float:
    integer = layer.multiplier is not None
    return sum(float(o.number) * price(technology, o, integer).energy_pj for o in operations(layer) if o.number)


def _layer(
    layer: Layer, i: int, run: Execution, g: Gemms, design: Design, energy: dict[str, tuple[FloatArray, str]]
) -> Iterator[Entry]:
    part = part_of(layer, "array")
    convention = design.name

    def entry(part: str, quantity: str, value: Number, unit: str, source: str) -> Entry:
        return Entry(layer.name, part, quantity, value, unit, convention, source)

    yield entry(part, "cycles", int(run.cycles[0, i]), "cycle", _source_of_cycles(design))
    yield entry(part, "total_cycles", int(run.total_cycles[0, i]), "cycle", "cycles, or the transfers if longer")
    macs, rate = int(g.macs[i]), float(run.products[i] / run.per_cycles[i])
    peak = design.rows * design.columns * rate
    yield entry(part, "utilization", macs / (peak * int(run.cycles[0, i] + 1)), "1", UTILIZATION)
    yield from (entry(name, "sram_accesses", value, "element", SRAM) for name, value in _sram(run.traffic, i))
    for stream in ("inputs", "weights", "outputs"):
        yield entry(f"dram {stream}", "dram_bits", int(getattr(run, f"dram_{stream}")[0, i]), "bit", DRAM)
    intensity = macs / int(run.dram[0, i])
    yield entry(part, "intensity", intensity, "MAC/bit", "MACs over DRAM bits")
    attainable = min(peak, intensity * design.dram_bits_per_cycle)
    yield entry(part, "roofline", attainable, "MAC/cycle", "the lower of peak and intensity x bandwidth")
    yield entry(part, "time", int(run.total_cycles[0, i]) / (design.clock_mhz * 1e6), "s", "total cycles over clock")
    for name, (values, source) in energy.items():
        yield entry(name, "energy", float(values[0, i]), ENERGY_UNIT, source)


def _source_of_cycles(design: Design) -> str:
    return CYCLES if design.style == "native" else f"{CYCLES_OF_STYLE} {design.style}"


def _sram(traffic: SramTraffic, i: int) -> Iterator[tuple[str, int]]:
    yield "input buffer reads", int(traffic.input_reads[0, i])
    yield "weight buffer reads", int(traffic.weight_reads[0, i])
    yield "output buffer reads", int(traffic.sum_reads[0, i])
    yield "output buffer writes", int(traffic.sum_writes[0, i])


def _area(layers: Sequence[Layer], design: Design) -> Iterator[Entry]:
    """Yield the array's area, if its elements are synthesised: each is the largest that a layer needs."""
    if design.arithmetic == "gates":
        area, source = element_area_um2(layers)
        elements = design.rows * design.columns
        yield Entry(NETWORK, "array", "area", elements * area, "um2", design.name, f"{elements} elements: {source}")


def _network(run: Execution, g: Gemms, design: Design) -> Iterator[Entry]:
    """Yield the ratios of the whole network; everything else is the sum over layers."""
    per_cycle = run.products / run.per_cycles * (design.rows * design.columns)
    peak_products = per_cycle * (run.cycles[0] + 1)  # in floating point: a large array passes 64 bits
    utilization = float(g.macs.sum() / peak_products.sum())
    intensity = float(g.macs.sum() / run.dram[0].sum())
    yield Entry(NETWORK, "array", "utilization", utilization, "1", design.name, UTILIZATION)
    yield Entry(NETWORK, "array", "intensity", intensity, "MAC/bit", design.name, "MACs over DRAM bits")
