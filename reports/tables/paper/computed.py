"""Our side of a published table that nothing is trained for."""

from collections.abc import Iterable

from hwsim.cost.overhead import HONEST, TABLE1, overhead
from hwsim.workloads import load_workload
from reports.tables.paper.ours import Column, Measured, Ours

#: Table -> the network that it is about.
COMPUTED = {"asq-overhead": "resnet18"}
CONVENTIONS = {"ours: computed as the paper does": TABLE1, "ours: computed as it runs": HONEST}


def computed(name: str, columns: Iterable[Column]) -> list[Ours]:
    """Return the lines of ours of one of the `COMPUTED` tables: the numbers of `hwsim overhead`, by convention."""
    wanted = list(columns)
    widths = sorted({weight_bits for _, weight_bits, _ in wanted})
    table = overhead(load_workload(COMPUTED[name]), widths)
    found = {(entry.convention, entry.quantity, entry.part): float(entry.value) for entry in table}
    return [
        Ours(label, None, {column: _number(found, convention, column) for column in wanted})
        for label, convention in CONVENTIONS.items()
    ]


def _number(found: dict[tuple[str, str, str], float], convention: str, column: Column) -> Measured:
    quantity, weight_bits, _ = column
    value = found[convention, quantity, f"{weight_bits} bits"]
    return Measured(f"hwsim overhead, {convention}", value, None, {})
