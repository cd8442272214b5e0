"""Tables of a study: one per file."""

from collections.abc import Callable, Mapping

from reports.records import Study
from reports.tables import designs, differences, layers, seeds
from reports.tables.table import Table

__all__ = ["TABLES", "Table"]

TABLES: Mapping[str, Callable[[Study], list[Table]]] = {
    "designs": designs.tables,
    "seeds": seeds.tables,
    "differences": differences.tables,
    "layers": layers.tables,
}
