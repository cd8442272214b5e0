"""What a network costs in hardware: one metric per file, every number with its unit, its convention and its source."""

from collections.abc import Callable, Iterable

from hwsim.cost.accelerator import accelerator
from hwsim.cost.bops import all_bops, bops
from hwsim.cost.counts import counts
from hwsim.cost.design import Design
from hwsim.cost.energy import arithmetic_energy
from hwsim.cost.gates import gates
from hwsim.cost.overhead import overhead
from hwsim.cost.product_tables import product_tables, table_bits
from hwsim.cost.storage import DENSE, parameter_storage, storage
from hwsim.cost.sweep import sweep
from hwsim.cost.table import CostTable, Entry, Number, columns, concatenate
from hwsim.errors import unknown_name
from hwsim.network import Network
from hwsim.workload import Workload

__all__ = [
    "METRICS",
    "SUMMARY",
    "CostTable",
    "Design",
    "Entry",
    "accelerator",
    "all_bops",
    "arithmetic_energy",
    "bops",
    "columns",
    "concatenate",
    "counts",
    "evaluate",
    "gates",
    "network_cost",
    "overhead",
    "parameter_storage",
    "product_tables",
    "storage",
    "summary",
    "sweep",
    "workload_cost",
]

#: Metric -> function of a workload; those with options have defaults that are stated in their rows' convention.
METRICS: dict[str, Callable[[Workload], CostTable]] = {
    "counts": counts,
    "storage": storage,
    "bops": all_bops,
    "tables": table_bits,
    "energy": arithmetic_energy,
    "gates": gates,
    "accelerator": accelerator,
    "overhead": overhead,
}


def evaluate(workload: Workload, metrics: Iterable[str] = METRICS) -> CostTable:
    """Return the entries of several metrics, one after the other.

    Raises:
        ValueError: a metric is unknown or stands twice, or one of them refuses the workload.
    """
    chosen = list(metrics)
    for metric in chosen:
        if metric not in METRICS:
            raise unknown_name("metric", metric, METRICS)
        if chosen.count(metric) > 1:
            raise ValueError(f"metric {metric!r} stands twice: its entries would be added up")
    return concatenate(METRICS[metric](workload) for metric in chosen)


def network_cost(network: Network) -> CostTable:
    """Return what an integer network costs, counted from its real weight codes."""
    return workload_cost(Workload.from_network(network))


def workload_cost(workload: Workload) -> CostTable:
    """Return the costs that a run record holds: counts, dense storage, BOPs as MACs x b_w x b_a, and product tables."""
    return counts(workload) + parameter_storage(workload, DENSE) + bops(workload, "macs_bits") + table_bits(workload)


def summary(table: CostTable) -> dict[str, Number]:
    """Return the headline totals of `network_cost`, each summed over all layers and parts.

    Operations include accumulation, rescaling, quantizers, pooling and residual additions, not the products alone.
    weight_storage_bits are the weight codes, storage_bits everything: codes, scales, biases and product tables.
    """
    totals: dict[tuple[str, str], Number] = {}
    for entry in table:
        for part in {"", entry.part.rpartition(".")[2]}:
            totals[entry.quantity, part] = totals.get((entry.quantity, part), 0) + entry.value
    return {name: totals.get(key, 0) for name, key in SUMMARY.items()}


#: Headline total -> its quantity, and the last word of the parts that it sums ("" for all parts).
SUMMARY = {
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
