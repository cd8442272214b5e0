"""Energy of the arithmetic, operation by operation. Memory traffic is priced by the accelerator model."""

from collections.abc import Iterator

from hwsim.cost.counts import part_of
from hwsim.cost.operations import Operation, operations
from hwsim.cost.table import CostTable, Entry
from hwsim.cost.technology import ENERGY_UNIT, MissingConstantError, Price, Technology
from hwsim.workload import Layer, Workload

DEFAULT = "horowitz2014"

#: Kinds that compute on integers whatever the network's other layers do.
FIXED_POINT_KINDS = ("rescale", "quantize", "threshold")


def arithmetic_energy(workload: Workload, technology: str = DEFAULT) -> CostTable:
    """Return the energy of every layer's operations, in pJ, after one technology.

    Operations that the technology has no row for are listed as `unpriced_operations`: they are not free. Layers without
    formats are priced as 32-bit floating point, in a workload of a Network as 32-bit integers.

    Raises:
        ValueError: the technology is unknown.
    """
    table = Technology(technology)
    fixed = any(layer.kind == "rescale" for layer in workload)
    return CostTable(tuple(entry for layer in workload for entry in _layer(table, layer, fixed)))


def price(technology: Technology, operation: Operation, integer: bool) -> Price:
    """Return the price of one of these operations.

    Raises:
        MissingConstantError: the technology has no row for it.
    """
    arithmetic = "int" if integer else "float"
    if operation.kind == "multiply":
        return technology.operation(f"{arithmetic}_multiply", operation.bits, operation.other_bits)
    if operation.kind == "add":
        return technology.operation(f"{arithmetic}_add", operation.bits)
    return technology.operation(operation.kind, operation.bits)


def _layer(technology: Technology, layer: Layer, fixed: bool) -> Iterator[Entry]:
    integer = fixed or layer.multiplier is not None or layer.kind in FIXED_POINT_KINDS
    for operation in operations(layer):
        if operation.number:
            yield _entry(technology, layer, operation, integer)


def _entry(technology: Technology, layer: Layer, operation: Operation, integer: bool) -> Entry:
    part = f"{part_of(layer, operation.part)}.{operation.kind}"
    number = float(operation.number)
    try:
        cost = price(technology, operation, integer)
    except MissingConstantError as error:
        return Entry(layer.name, part, "unpriced_operations", number, "operation", technology.name, str(error))
    return Entry(layer.name, part, "energy", number * cost.energy_pj, ENERGY_UNIT, technology.name, cost.source)
