"""The shipped table of gates: measured anew, row by row, and compared with what is shipped."""

import csv
import io
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from hwsim.cost.gates import IDENTITY, MEASURES, GateRow
from hwsim.executor import Processes, Serial
from hwsim.files import atomic_write
from hwsim.synthesis.circuits import Circuit, all_circuits, multiplier_id
from hwsim.synthesis.flows import FLOWS
from hwsim.synthesis.measure import measure
from hwsim.synthesis.yosys import find_yosys

Report = Callable[[str], None]  #: Gets the name of each circuit that is done.

COLUMNS = (*IDENTITY, *MEASURES, "tool")


def measured_row(circuit: Circuit, flows: Iterable[str] = FLOWS) -> GateRow:
    """Return a row of the table, measured now (or found in the user's cache, which holds what these tools made).

    flows: those that are measured; what others would say is missing in the row.

    Raises:
        WrongNetlistError, YosysError, ModuleNotFoundError: as `hwsim.synthesis.measure.measure`.
    """
    measures = measure(circuit, flows)
    tool = f"Yosys {find_yosys().version}"
    return GateRow(circuit, circuit.accumulator_bits, multiplier_id(circuit.multiplier), measures, tool)


def differences(shipped: GateRow, fresh: GateRow) -> list[str]:
    """Return a line for each shipped measure in which two rows of one circuit differ, and one if the tools do."""
    lines = [
        f"{name}: {value:g} shipped, {fresh.measures[name]:g} now"
        for name, value in shipped.measures.items()
        if fresh.measures.get(name, value) != value
    ]
    return lines + ([f"tool: {shipped.tool} shipped, {fresh.tool} now"] if shipped.tool != fresh.tool else [])


def rebuild(
    path: Path, workers: int = 2, report: Report = lambda _name: None, circuits: Iterable[Circuit] | None = None
) -> int:
    """Measure every circuit and write the table; return how many rows it has.

    What was finished before an interruption is in the user's cache and is not mapped again.

    Raises:
        ItemError: a circuit failed; it is named.
    """
    chosen = list(all_circuits() if circuits is None else circuits)
    items = [{"name": circuit.name, "circuit": asdict(circuit)} for circuit in chosen]
    executor = Serial() if workers == 1 else Processes(workers)
    rows: list[Mapping[str, Any]] = []
    for item, row in zip(items, executor.map(measure_item, items), strict=True):
        rows.append(row)
        report(str(item["name"]))
    with atomic_write(path) as temporary:
        temporary.write_text(table_text(rows), encoding="utf-8", newline="")
    return len(rows)


def measure_item(item: Mapping[str, Any]) -> dict[str, Any]:
    """Return the cells of one row: what a worker process computes."""
    circuit = Circuit(**item["circuit"])
    return cells(measured_row(circuit))


def cells(row: GateRow) -> dict[str, Any]:
    """Return a row as the cells of the table."""
    circuit = row.circuit
    identity = {name: getattr(circuit, name) for name in IDENTITY[:6]}
    rest = (circuit.used_exponents, row.accumulator_bits, row.multiplier)
    return identity | dict(zip(IDENTITY[6:], rest, strict=True)) | dict(row.measures) | {"tool": row.tool}


def table_text(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return rows as the CSV text that is shipped."""
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: f"{value:g}" if isinstance(value, float) and value.is_integer() else value
                      for name, value in row.items()} for row in rows)  # fmt: skip
    return text.getvalue()
