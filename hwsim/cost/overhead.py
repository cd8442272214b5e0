"""What ASQ's adapter adds to a network: the paper's Table 1 for any network, and the same question asked honestly."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction

from hwsim.cost.adapter import ADAPTER, RATIO, adapter_layers, inner_convolutions, without_adapters
from hwsim.cost.bops import macs_bits
from hwsim.cost.operations import operations
from hwsim.cost.table import NETWORK, CostTable, Entry, Number
from hwsim.workload import FLOAT_BITS, Layer, Workload
from hwsim.workloads.quantized import unquantized

PAPER_ADAPTER_BITS = 8  #: What Table 1 charges for an adapter that the released code runs in 32-bit floating point.

TABLE1 = "asq_table1"
TABLE1_FLOAT = "asq_table1_at_32_bits"
HONEST = "as_it_runs"
FIXED_POINT = "as_it_runs_in_fixed_point"

PAPER_SOURCE = "ASQ, arXiv:2504.17263, Table 1; construction inferred from the released code, not printed"
#: What is divided by what, where the paper does not say it.
SOURCES = {
    (TABLE1_FLOAT, "parameters"): "adapter and steps at 32 bits over all parameters at b bits",
    (TABLE1_FLOAT, "compute"): "2 x adapter weights at 32 bits over MACs of inner convolutions at b bits",
    (HONEST, "parameters"): (
        "adapter and steps at 32 bits over weights of layers with products at b bits (first and last 8), others at 32"
    ),
    (HONEST, "compute"): (
        "all operations of the adapters over the sum of 2 MACs x b / 32 of all layers (first and last b = 8)"
    ),
    (HONEST, "bops"): "MACs of the adapters x 32 x 32 over MACs x b x b of all layers (first and last b = 8)",
    (FIXED_POINT, "parameters"): "bits stored for the adapters over bits stored for everything else",
    (FIXED_POINT, "compute"): "operations of the adapters over all others, each counted as one",
    (FIXED_POINT, "bops"): "MACs x b_w x b_a of the adapters over those of all other layers",
}


def overhead(workload: Workload, bits: Iterable[int] = (8, 4, 3, 2), ratio: int = RATIO) -> CostTable:
    """Return what the adapters add, in percent, per bit width: one entry per question and convention.

    `asq_table1` reproduces the paper: parameters added (adapters with biases, a step per output channel and one per
    activation, of the inner convolutions) at 8 bits, over all parameters at `bits`; compute added: two operations per
    adapter weight at 8 bits, over the inner convolutions' multiplications at `bits`. `asq_table1_at_32_bits` differs in
    one thing: the adapter has the 32 bits that it has in the released code.

    `as_it_runs` charges what runs; b is `bits`, and 8 for the first and the last layer. Parameters: adapter and steps
    at 32 bits, over weights of the layers with products at b and everything else (batch norm, biases) at 32. Compute:
    all the adapter's operations at 32 bits, each of them one, pooling and reciprocals included, over the sum of
    2 MACs b / 32 of all layers with products; the network's other operations (batch norm, ReLU, quantizers) are left
    out. BOPs: the adapter's MACs x 32 x 32, over the network's MACs x b x b.

    An integer network with adapters has its own bits and ratio: its rows are the paper's two, at its narrowest weights,
    and `as_it_runs_in_fixed_point`, which adds up what its nodes store and compute.

    Raises:
        WorkloadError: the network has no convolution between its first and its last layer, or the ratio is below 1.
    """
    if any(layer.op == ADAPTER for layer in workload):
        return _running(workload)
    cost = _count(unquantized(workload), ratio)
    return CostTable(tuple(entry for b in bits for entry in (*_table1(cost, b), *_as_it_runs(cost, b))))


def overhead_rows(tables: Mapping[str, CostTable]) -> list[dict[str, str | Number]]:
    """Return one row per network and bit width, with the percentages in columns, as a paper prints them."""
    rows: dict[tuple[str, str], dict[str, str | Number]] = {}
    for network, table in tables.items():
        for entry in table:
            row = rows.setdefault((network, entry.part), {"network": network, "bits": int(entry.part.split()[0])})
            row[f"{entry.quantity}_{entry.convention}"] = entry.value
    return list(rows.values())


def extra_parameters(workload: Workload, ratio: int = RATIO) -> int:
    """Return the values that ASQ adds: adapters, a weight step per output channel, an activation step per layer.

    Raises:
        WorkloadError: as `overhead`.
    """
    return _count(unquantized(workload), ratio).added


@dataclass(frozen=True)
class _Count:
    """What does not depend on the bit width: layers of the network and of its adapters, and totals over them."""

    own: tuple[Layer, ...]
    at_8_bits: frozenset[str]
    inner_macs: int
    adapter_weights: int
    adapter_operations: int | Fraction
    adapter_bops: int
    added: int

    def bits_of(self, layer: Layer, bits: int) -> int:
        """Return the width of a layer's weights and activations."""
        return 8 if layer.key in self.at_8_bits else bits


def _count(workload: Workload, ratio: int) -> _Count:
    inner = inner_convolutions(workload)
    adapters = [part for layer in inner for part in adapter_layers(layer, ratio)]
    weighted = [layer.key for layer in workload.mac_layers if layer.has_weight]
    return _Count(
        own=workload.layers,
        at_8_bits=frozenset((weighted[0], weighted[-1])),
        inner_macs=sum(layer.macs for layer in inner),
        adapter_weights=sum(layer.weights for layer in adapters),
        adapter_operations=_operations(adapters),
        adapter_bops=sum(map(macs_bits, adapters)),
        added=sum(layer.parameters for layer in adapters) + sum(layer.K + 1 for layer in inner),
    )


def _table1(cost: _Count, bits: int) -> Iterator[Entry]:
    stored = sum(layer.parameters for layer in cost.own) * bits
    for adapter_bits, convention in ((PAPER_ADAPTER_BITS, TABLE1), (FLOAT_BITS, TABLE1_FLOAT)):
        yield _percent("parameters", bits, cost.added * adapter_bits, stored, convention)
        yield _percent("compute", bits, 2 * cost.adapter_weights * adapter_bits, cost.inner_macs * bits, convention)


def _as_it_runs(cost: _Count, bits: int) -> Iterator[Entry]:
    multiplying = [(layer, cost.bits_of(layer, bits)) for layer in cost.own if layer.macs]
    codes = sum(layer.weights * b for layer, b in multiplying)
    others = sum(layer.biases if layer.macs else layer.parameters for layer in cost.own) * FLOAT_BITS
    reference = Fraction(sum(2 * layer.macs * b for layer, b in multiplying), FLOAT_BITS)
    bops = sum(layer.macs * b * b for layer, b in multiplying)
    yield _percent("parameters", bits, cost.added * FLOAT_BITS, codes + others, HONEST)
    yield _percent("compute", bits, cost.adapter_operations, reference, HONEST)
    yield _percent("bops", bits, cost.adapter_bops, bops, HONEST)


def _running(workload: Workload) -> CostTable:
    added = [layer for layer in workload if layer.op == ADAPTER]
    own = without_adapters(workload)
    bits = min(layer.weight_bits for layer in own.mac_layers)
    ratios = {
        "parameters": (sum(map(_stored_bits, added)), sum(map(_stored_bits, own))),
        "compute": (_operations(added), _operations(own)),
        "bops": (sum(map(macs_bits, added)), sum(map(macs_bits, own))),
    }
    fixed = (_percent(what, bits, *ratio, FIXED_POINT) for what, ratio in ratios.items())
    return CostTable((*_table1(_count(unquantized(own), RATIO), bits), *fixed))


def _stored_bits(layer: Layer) -> int:
    return layer.weights * layer.weight_bits + layer.biases * layer.bias_bits + layer.scales * layer.scale_bits


def _operations(layers: Iterable[Layer]) -> int | Fraction:
    return sum(operation.number for layer in layers for operation in operations(layer))


def _percent(what: str, bits: int, added: int | Fraction, before: int | Fraction, convention: str) -> Entry:
    source = PAPER_SOURCE if convention == TABLE1 else f"own count: {SOURCES[convention, what]}"
    percent = float(100 * Fraction(added) / Fraction(before))
    return Entry(NETWORK, f"{bits} bits", f"{what}_overhead", percent, "%", convention, source)
