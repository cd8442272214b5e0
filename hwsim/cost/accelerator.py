"""A network on an array of processing elements: cycles, utilization, traffic, roofline, time and energy."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from hwsim.arithmetic import IntArray
from hwsim.cost.counts import part_of
from hwsim.cost.design import DEFAULT_CLOCK_MHZ, KIB, Design
from hwsim.cost.energy import price
from hwsim.cost.gate_array import IDLE, GateArray
from hwsim.cost.operations import operations
from hwsim.cost.systolic import DATAFLOWS, Gemms, SramTraffic, ceil_div, dram_bits, gemms
from hwsim.cost.table import NETWORK, CostTable, Entry, Number
from hwsim.cost.technology import ENERGY_UNIT, Technology
from hwsim.cost.throughput import STYLES
from hwsim.workload import Layer, Workload, WorkloadError

FloatArray = NDArray[np.float64]

#: Part of the machine -> energy in pJ, shape (layers,) or (designs, layers), and the source of each layer's.
Energies = dict[str, tuple[FloatArray, list[str]]]

CYCLES = "closed form, equal to SCALE-Sim 3.0.0"
CYCLES_OF_STYLE = "closed form of SCALE-Sim 3.0.0, streams scaled by the products per cycle of style"
UTILIZATION = "MACs over peak MACs of cycles + 1 (SCALE-Sim counts from 0)"
SRAM = "closed form of the dataflow"
DEFAULT_DESIGN = Design()
INDEPENDENT: Mapping[str, float] = MappingProxyType({})  #: No layer's energy is known on its own operands.
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
    places: IntArray  #: Processing elements of the array, shape (1, 1) or (designs, 1).

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
    return Execution(
        cycles, traffic, inputs, weights, outputs, transfer, products, per_cycles, hardware.rows * hardware.columns
    )


def accelerator(
    workload: Workload, design: Design = DEFAULT_DESIGN, own_energy_fj: Mapping[str, float] = INDEPENDENT
) -> CostTable:
    """Return cycles, utilization, traffic per memory level, roofline, time and energy, per layer and for the network.

    Layers with products run on the array, one after the other; other layers take no time. Sums stay on chip. Energy
    holds products, sums and every access of the buffers and of DRAM; with gates also the clock of idle elements.

    own_energy_fj: of designs of gates, an element's energy per product on a layer's own operands, by the layers' keys
    (`hwsim.synthesis.network_energies.network_energies`); of other layers it is that on independent operands.

    Raises:
        WorkloadError: no layer has products.
        ValueError: the technology has no row for an operation or an access, the gates do not allow the design's clock,
            or own_energy_fj is not of the layers of a design of gates.
    """
    if own_energy_fj and design.arithmetic != "gates":
        raise ValueError(f"own_energy_fj belongs to arithmetic gates, got {design.arithmetic}")
    layers = workload.mac_layers
    if not layers:
        raise WorkloadError(f"workload {workload.name} has no layer with products to put on an array")
    g, widths = gemms(layers), Widths.of(layers)
    whole = execute(g, widths, Hardware.of([design]), design.dataflow, design.style)
    energy = energies(layers, widths, whole, design, own_energy_fj)
    clock = clock_mhz(layers, design)
    entries = [entry for i, layer in enumerate(layers) for entry in _layer(layer, i, whole, g, design, energy, clock)]
    array = GateArray(tuple(layers)).entries(design) if design.arithmetic == "gates" else ()
    return CostTable((*entries, *_network(whole, g, design), *array))


def clock_mhz(layers: Sequence[Layer], design: Design) -> tuple[float, str]:
    """Return the clock of a design in MHz, with its source.

    Raises:
        ValueError: its gates do not allow it, or the table has no element for a layer.
    """
    if design.arithmetic == "gates":
        return GateArray(tuple(layers)).clock_mhz(design.clock_mhz)
    return design.clock_mhz or DEFAULT_CLOCK_MHZ, "as the design says"


def energies(
    layers: Sequence[Layer],
    widths: Widths,
    run: Execution,
    design: Design,
    own_energy_fj: Mapping[str, float] = INDEPENDENT,
) -> Energies:
    """Return energy in pJ with each layer's source, for each part of the machine.

    Raises:
        ValueError: as `accelerator`.
    """
    technology = Technology(design.technology)
    traffic = run.traffic
    accesses = (
        ("input buffer", "sram_read", design.input_kib, traffic.input_reads * widths.activation),
        ("weight buffer", "sram_read", design.weight_kib, traffic.weight_reads * widths.weight),
        ("output buffer reads", "sram_read", design.output_kib, traffic.sum_reads * widths.sums),
        ("output buffer writes", "sram_write", design.output_kib, traffic.sum_writes * widths.sums),
        ("dram", "dram_access", None, run.dram),
    )
    result = _arithmetic(technology, layers, run, design, own_energy_fj)
    for part, name, kib, bits in accesses:
        access = technology.access(name, 1, kib * KIB if kib else None)
        result[part] = np.asarray(bits * access.energy_pj, dtype=np.float64), [access.source] * len(layers)
    return result


def _arithmetic(
    technology: Technology,
    layers: Sequence[Layer],
    run: Execution,
    design: Design,
    own_energy_fj: Mapping[str, float],
) -> Energies:
    """Return the energy of products and sums, and of gates that of idle elements."""
    everywhere = np.zeros(run.cycles.shape)
    if design.arithmetic == "gates":
        array = GateArray(tuple(layers), own_energy_fj)
        idle = array.idle_pj(run.places * np.maximum(run.cycles + 1, run.dram_cycles))  # cycles count from 0
        return {
            "arithmetic": (array.products_pj + everywhere, array.sources),
            "idle elements": (idle, [IDLE] * len(layers)),
        }
    priced = np.array([_operations(technology, layer) for layer in layers])
    return {"arithmetic": (priced + everywhere, [f"{technology.name}, operation by operation"] * len(layers))}


def _operations(technology: Technology, layer: Layer) -> float:
    integer = layer.multiplier is not None
    return sum(float(o.number) * price(technology, o, integer).energy_pj for o in operations(layer) if o.number)


def _layer(
    layer: Layer, i: int, run: Execution, g: Gemms, design: Design, energy: Energies, clock: tuple[float, str]
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
    seconds, source = int(run.total_cycles[0, i]) / (clock[0] * 1e6), f"total cycles over clock, {clock[1]}"
    yield entry(part, "time", seconds, "s", source)
    for name, (values, sources) in energy.items():
        yield entry(name, "energy", float(values[0, i]), ENERGY_UNIT, sources[i])


def _source_of_cycles(design: Design) -> str:
    return CYCLES if design.style == "native" else f"{CYCLES_OF_STYLE} {design.style}"


def _sram(traffic: SramTraffic, i: int) -> Iterator[tuple[str, int]]:
    yield "input buffer reads", int(traffic.input_reads[0, i])
    yield "weight buffer reads", int(traffic.weight_reads[0, i])
    yield "output buffer reads", int(traffic.sum_reads[0, i])
    yield "output buffer writes", int(traffic.sum_writes[0, i])


def _network(run: Execution, g: Gemms, design: Design) -> Iterator[Entry]:
    """Yield the ratios of the whole network; everything else is the sum over layers."""
    per_cycle = run.products / run.per_cycles * (design.rows * design.columns)
    peak_products = per_cycle * (run.cycles[0] + 1)  # in floating point: a large array passes 64 bits
    utilization = float(g.macs.sum() / peak_products.sum())
    intensity = float(g.macs.sum() / run.dram[0].sum())
    yield Entry(NETWORK, "array", "utilization", utilization, "1", design.name, UTILIZATION)
    yield Entry(NETWORK, "array", "intensity", intensity, "MAC/bit", design.name, "MACs over DRAM bits")
