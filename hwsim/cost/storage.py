"""Storage in bits: what must be kept to run the network, split by what it is."""

from collections.abc import Iterator
from dataclasses import dataclass

from hwsim.cost.counts import part_of
from hwsim.cost.table import NETWORK, CostTable, Entry
from hwsim.workload import FLOAT_BITS, MAC_KINDS, Layer, Workload


@dataclass(frozen=True)
class MemoryLayout:
    """How codes lie in memory: as many whole codes per word as fit, or, without a word, bit after bit.

    Raises:
        ValueError: word_bits below 1.
    """

    word_bits: int | None = 32

    def __post_init__(self) -> None:
        if self.word_bits is not None and self.word_bits < 1:
            raise ValueError(f"word_bits must be at least 1, got {self.word_bits}")

    @property
    def convention(self) -> str:
        """The layout in words."""
        return f"whole values in {self.word_bits}-bit words" if self.word_bits else "packed bit after bit"

    def padding(self, count: int, bits: int) -> int:
        """Return the bits that are lost when `count` values of `bits` are stored; wide values take several words."""
        if self.word_bits is None or not count:
            return 0
        if bits > self.word_bits:
            return count * (-bits % self.word_bits)
        words = -(-count // (self.word_bits // bits))
        return words * self.word_bits - count * bits


#: Kinds whose weights are operands of the network; those of the others (batch norm) are affine maps.
CODED = (*MAC_KINDS, "embedding", "constant")

DENSE = MemoryLayout(None)
WORDS = MemoryLayout(32)


def storage(workload: Workload, layout: MemoryLayout = WORDS) -> CostTable:
    """Return what must be stored: parameters with the layout's padding, product tables, and activations."""
    return parameter_storage(workload, layout) + activation_storage(workload)


def parameter_storage(workload: Workload, layout: MemoryLayout = WORDS) -> CostTable:
    """Return bits of codes, affine maps, scales and biases per layer, the layout's padding, and the product tables.

    Parts of an adapter are named `adapter.*`. One table serves all layers with the same multiplier. Without the parts
    `padding` the sum is the dense size.
    """
    entries = [entry for layer in workload for entry in _layer(layer, layout)]
    return CostTable((*entries, *_tables(workload, layout)))


def activation_storage(workload: Workload) -> CostTable:
    """Return the activations that products read, in bits: each layer's input, their total, and the peak.

    `activation_bits` adds up the inputs of all layers with products as codes, both operands of a `matmul`. The peak
    needs the graph: it is the most that lives at once when layers run in order, codes at their width, everything else
    at 32 bits. A workload that does not say what its layers read has no peak.
    """
    entries = [
        Entry(layer.name, part_of(layer, "input"), "activation_bits", bits, "bit", "inputs of products", "shapes")
        for layer in workload.mac_layers
        if (bits := _input_bits(layer))
    ]
    if all(layer.inputs or layer.kind == "constant" for layer in workload):
        peak = peak_activation_bits(workload)
        entries.append(Entry(NETWORK, "peak", "activation_peak_bits", peak, "bit", "live tensors, in order", "graph"))
    return CostTable(tuple(entries))


def peak_activation_bits(workload: Workload) -> int:
    """Return the bits of the largest set of tensors that live at once; the network's input is one of them."""
    last_use = {key: i for i, layer in enumerate(workload) for key in layer.inputs}
    alive = {"input": _network_input_bits(workload)}
    peak = 0
    for i, layer in enumerate(workload):
        makes_codes = layer.kind in ("quantize", "threshold")
        alive[layer.key] = layer.outputs * (layer.activation_bits if makes_codes else FLOAT_BITS)
        peak = max(peak, sum(alive.values()))
        alive = {key: bits for key, bits in alive.items() if last_use.get(key, -1) > i}
    return peak


def _network_input_bits(workload: Workload) -> int:
    readers = [layer for layer in workload if "input" in layer.inputs]
    return max((layer.elements_in * FLOAT_BITS for layer in readers), default=0)


def _input_bits(layer: Layer) -> int:
    second = 0 if layer.has_weight else layer.operand_elements * layer.weight_bits
    return layer.elements_in * layer.activation_bits + second


def _layer(layer: Layer, layout: MemoryLayout) -> Iterator[Entry]:
    contents = (
        ("codes" if layer.kind in CODED else "affine", layer.weights, layer.weight_bits),
        ("bias", layer.biases, layer.bias_bits),
        ("scales", layer.scales, layer.scale_bits),
    )
    for part, count, bits in contents:
        if count:
            yield _entry(layer.name, part_of(layer, part), count * bits, layout)
    padding = sum(layout.padding(count, bits) for _, count, bits in contents)
    if padding:
        yield _entry(layer.name, part_of(layer, "padding"), padding, layout)


def _tables(workload: Workload, layout: MemoryLayout) -> Iterator[Entry]:
    multipliers = dict.fromkeys(layer.multiplier for layer in workload.mac_layers if layer.multiplier)
    for multiplier in multipliers:
        if multiplier.table_bits:
            yield _entry(NETWORK, "table", multiplier.table_bits, layout)


def _entry(layer: str, part: str, bits: int, layout: MemoryLayout) -> Entry:
    return Entry(layer, part, "storage_bits", bits, "bit", layout.convention, "shapes and formats")
