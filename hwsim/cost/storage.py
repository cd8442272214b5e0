"""Storage in bits: what must be kept to run the network, split by what it is."""

from collections.abc import Iterator
from dataclasses import dataclass

from hwsim.cost.counts import part_of
from hwsim.cost.table import CostTable, Entry
from hwsim.workload import Layer, Workload


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


DENSE = MemoryLayout(None)


def storage(workload: Workload, layout: MemoryLayout = MemoryLayout()) -> CostTable:
    """Return bits of codes, scales and biases per layer, the layout's padding, and the network's product tables.

    One table serves all layers with the same multiplier. `storage_bits` without the parts `padding` is the dense size.
    """
    entries = [entry for layer in workload for entry in _layer(layer, layout)]
    return CostTable((*entries, *_tables(workload, layout)))


def _layer(layer: Layer, layout: MemoryLayout) -> Iterator[Entry]:
    contents = (
        ("codes", layer.weights, layer.weight_bits),
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
            yield _entry("network", "table", multiplier.table_bits, layout)


def _entry(layer: str, part: str, bits: int, layout: MemoryLayout) -> Entry:
    return Entry(layer, part, "storage_bits", bits, "bit", layout.convention, "shapes and formats")
