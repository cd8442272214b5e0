"""Counts: parameters, multiply-accumulates and operations by kind."""

from collections.abc import Iterator
from fractions import Fraction

from hwsim.cost.operations import convention, operations
from hwsim.cost.table import CostTable, Entry, Number
from hwsim.workload import Layer, Workload

OPERATION_KINDS = ("multiply", "shift", "add", "table_read", "compare", "reciprocal", "nonlinear")

PADDING_COUNTED = "positions of the padding included"


def counts(workload: Workload) -> CostTable:
    """Return parameters, MACs and operations by kind, per layer and part."""
    return parameters(workload) + macs(workload) + operation_counts(workload) + unknown_operators(workload)


def parameters(workload: Workload) -> CostTable:
    """Return the stored values of each layer: weights, biases, scale factors."""
    return CostTable(tuple(entry for layer in workload for entry in _parameters(layer)))


def macs(workload: Workload) -> CostTable:
    """Return the multiply-accumulates of each layer that has any."""
    return CostTable(
        tuple(
            Entry(layer.name, part_of(layer, "products"), "macs", layer.macs, "MAC", PADDING_COUNTED, "loop nest")
            for layer in workload.mac_layers
        )
    )


def operation_counts(workload: Workload) -> CostTable:
    """Return the operations of each layer by kind: a quantity per kind of `OPERATION_KINDS`, in operations."""
    how = convention(workload)
    return CostTable(tuple(entry for layer in workload for entry in _operations(layer, how)))


def unknown_operators(workload: Workload) -> CostTable:
    """Return one entry per operator that is not known: it is listed, never dropped."""
    return CostTable(
        tuple(
            Entry(layer.name, layer.op or "unknown", "unknown_operators", 1, "operator", "not counted", "trace")
            for layer in workload
            if layer.kind == "unknown"
        )
    )


def part_of(layer: Layer, part: str) -> str:
    """Return the part's name, behind that of the helper it belongs to."""
    return f"{layer.part}.{part}" if layer.part else part


def plain(count: int | Fraction) -> Number:
    """Return a count as an int where it is one, else as a float."""
    return int(count) if count == int(count) else float(count)


def _parameters(layer: Layer) -> Iterator[Entry]:
    for part, count in (("weights", layer.weights), ("bias", layer.biases), ("scales", layer.scales)):
        if count:
            yield Entry(layer.name, part_of(layer, part), "parameters", count, "parameter", "stored values", "shapes")


def _operations(layer: Layer, how: str) -> Iterator[Entry]:
    for operation in operations(layer):
        if operation.number:
            part = part_of(layer, operation.part)
            yield Entry(layer.name, part, operation.kind, plain(operation.number), "operation", how, "loop nest")
