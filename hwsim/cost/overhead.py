"""What ASQ's adapter adds to a network: the paper's Table 1 for any network, and the same question asked honestly."""

from collections.abc import Iterable, Iterator, Mapping
from fractions import Fraction

from hwsim.cost.adapter import RATIO, inner_convolutions, with_adapters
from hwsim.cost.bops import macs_bits
from hwsim.cost.operations import operations
from hwsim.cost.table import NETWORK, CostTable, Entry, Number
from hwsim.workload import FLOAT_BITS, Layer, Workload
from hwsim.workloads.quantized import Precision, quantized, unquantized

PAPER_ADAPTER_BITS = 8  #: What Table 1 charges for an adapter that the released code runs in 32-bit floating point.

TABLE1 = "asq_table1"
TABLE1_FLOAT = "asq_table1_at_32_bits"
HONEST = "as_it_runs"

PAPER_SOURCE = "ASQ, arXiv:2504.17263, Table 1; construction inferred from the released code, not printed"
OWN_SOURCE = "own count"


def overhead(workload: Workload, bits: Iterable[int] = (8, 4, 3, 2), ratio: int = RATIO) -> CostTable:
    """Return what the adapters add, in percent, per bit width: one entry per question and convention.

    `asq_table1` reproduces the paper: parameters added (adapters with biases, a step per output channel and one per
    activation, of the inner convolutions) at 8 bits, over all parameters at `bits`; compute added: two operations per
    adapter weight at 8 bits, over the inner convolutions' multiplications at `bits`. `asq_table1_at_32_bits` differs in
    one thing: the adapter has the 32 bits that it has in the released code.

    `as_it_runs` charges what runs. Parameters: adapter and steps at 32 bits, over the network's parameters as stored
    (first and last layer at 8 bits, batch norm and biases at 32). Compute: all the adapter's operations, pooling and
    reciprocals included, over the multiplications and additions of all layers, each scaled by bits / 32. BOPs: the
    adapter's, 32 x 32 bits, over the network's.

    Raises:
        WorkloadError: the network has no convolution between its first and its last layer, or the ratio is below 1.
    """
    adapted = with_adapters(unquantized(workload), ratio)
    return CostTable(tuple(entry for b in bits for entry in (*_table1(adapted, b), *_as_it_runs(adapted, b))))


def overhead_rows(tables: Mapping[str, CostTable]) -> list[dict[str, str | Number]]:
    """Return one row per network and bit width, with the percentages in columns, as a paper prints them."""
    rows: dict[tuple[str, str], dict[str, str | Number]] = {}
    for network, table in tables.items():
        for entry in table:
            row = rows.setdefault((network, entry.part), {"network": network, "bits": int(entry.part.split()[0])})
            row[f"{entry.quantity}_{entry.convention}"] = entry.value
    return list(rows.values())


def is_adapter(layer: Layer) -> bool:
    """Return whether the layer is part of an adapter."""
    return layer.part.startswith("adapter.")


def extra_parameters(adapted: Workload) -> int:
    """Return the values that ASQ adds: adapters, a weight step per output channel, an activation step per layer."""
    inner = inner_convolutions(adapted)
    steps = sum(layer.K + 1 for layer in inner)
    return steps + sum(layer.parameters for layer in adapted if is_adapter(layer))


def _table1(adapted: Workload, bits: int) -> Iterator[Entry]:
    added = extra_parameters(adapted)
    stored = sum(layer.parameters for layer in adapted if not is_adapter(layer)) * bits
    executed = 2 * sum(layer.weights for layer in adapted if is_adapter(layer))
    multiplications = sum(layer.macs for layer in inner_convolutions(adapted)) * bits
    for adapter_bits, convention in ((PAPER_ADAPTER_BITS, TABLE1), (FLOAT_BITS, TABLE1_FLOAT)):
        yield _percent("parameters", bits, added * adapter_bits, stored, convention)
        yield _percent("compute", bits, executed * adapter_bits, multiplications, convention)


def _as_it_runs(adapted: Workload, bits: int) -> Iterator[Entry]:
    network = quantized(adapted, Precision("uniform", bits))
    adapters = [layer for layer in network if is_adapter(layer)]
    own = [layer for layer in network if not is_adapter(layer)]
    stored = sum(layer.weights * layer.weight_bits + layer.biases * layer.bias_bits for layer in own)
    executed = sum(operation.number for layer in adapters for operation in operations(layer))
    reference = Fraction(sum(2 * layer.macs * layer.weight_bits for layer in own), FLOAT_BITS)
    yield _percent("parameters", bits, extra_parameters(adapted) * FLOAT_BITS, stored, HONEST)
    yield _percent("compute", bits, executed, reference, HONEST)
    yield _percent("bops", bits, sum(map(macs_bits, adapters)), sum(map(macs_bits, own)), HONEST)


def _percent(what: str, bits: int, added: int | Fraction, before: int | Fraction, convention: str) -> Entry:
    source = PAPER_SOURCE if convention == TABLE1 else OWN_SOURCE
    percent = float(100 * Fraction(added) / Fraction(before))
    return Entry(NETWORK, f"{bits} bits", f"{what}_overhead", percent, "%", convention, source)
