"""What a network costs in hardware: one metric per file, every number with its unit, its convention and its source."""

from collections.abc import Callable

from hwsim.cost.bops import all_bops, bops
from hwsim.cost.counts import counts
from hwsim.cost.storage import DENSE, storage
from hwsim.cost.table import CostTable, Entry, Number, columns, concatenate
from hwsim.cost.tables import table_bits
from hwsim.network import Network
from hwsim.workload import Workload

__all__ = ["METRICS", "CostTable", "Entry", "columns", "concatenate", "network_cost", "summary"]

METRICS: dict[str, Callable[[Workload], CostTable]] = {
    "counts": counts,
    "storage": storage,
    "bops": all_bops,
    "tables": table_bits,
}


def network_cost(network: Network) -> CostTable:
    """Return what an integer network costs, counted from its real weight codes: counts, dense storage, BOPs, tables."""
    workload = Workload.from_network(network)
    return counts(workload) + storage(workload, DENSE) + bops(workload, "macs_bits") + table_bits(workload)


def summary(table: CostTable) -> dict[str, Number]:
    """Return the headline totals of `network_cost`, each summed over all layers and parts.

    Operations include accumulation, rescaling, quantizers, pooling and residual additions, not the products alone.
    weight_storage_bits are the weight codes, storage_bits everything: codes, scales, biases and product tables.
    """
    totals: dict[tuple[str, str], Number] = {}
    for entry in table:
        for part in ("", entry.part.rpartition(".")[2]):
            totals[entry.quantity, part] = totals.get((entry.quantity, part), 0) + entry.value
    return {name: totals.get(key, 0) for name, key in _SUMMARY.items()}


_SUMMARY = {
    "parameters": ("parameters", ""),
    "weight_storage_bits": ("storage_bits", "codes"),
    "storage_bits": ("storage_bits", ""),
    "macs": ("macs", ""),
    "multiplications": ("multiply", ""),
    "shifts": ("shift", ""),
    "additions": ("add", ""),
    "table_reads": ("table_read", ""),
    "bops": ("bops", ""),
    "table_bits": ("table_bits", ""),
}
