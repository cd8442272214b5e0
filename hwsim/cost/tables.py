"""Product tables: how large the look-up tables of POST multipliers are."""

from hwsim.cost.table import NETWORK, CostTable, Entry
from hwsim.multipliers import LookupTableMultiplier
from hwsim.workload import Workload


def table_bits(workload: Workload) -> CostTable:
    """Return entries and bits of every distinct product table of the network; layers with one multiplier share it."""
    circuits = dict.fromkeys(layer.multiplier for layer in workload.mac_layers)
    tables = [circuit for circuit in circuits if isinstance(circuit, LookupTableMultiplier)]
    return CostTable(tuple(entry for circuit in tables for entry in _sizes(circuit)))


def _sizes(circuit: LookupTableMultiplier) -> tuple[Entry, Entry]:
    part = f"{circuit.weight.bits}x{circuit.activation.bits} bits, {circuit.fraction_bits} fraction bits"
    convention = f"one {circuit.layout} table per distinct multiplier"
    source = "ASQ, arXiv:2504.17263, section 3.3.1"
    return (
        Entry(NETWORK, part, "table_entries", circuit.table_entries, "entry", convention, source),
        Entry(NETWORK, part, "table_bits", circuit.table_bits, "bit", convention, source),
    )
