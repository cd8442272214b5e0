"""Designs of a study beside the gates of their processing elements."""

from collections.abc import Iterable

from hwsim.cost.gates import GateRow, load_gates
from hwsim.synthesis.circuits import Circuit
from reports.designs import designs
from reports.records import Study
from reports.run_groups import study_groups
from reports.statement import statement
from reports.tables.differences import against_uniform, widths

#: Table that a POST network is exported with unless a run chooses another.
FRACTION_BITS, LAYOUT = 6, "shared"


def element(kind: str, bits: int, act_bits: int) -> GateRow | None:
    """Return the processing element of a design, None if the shipped table has none."""
    chosen = (FRACTION_BITS, LAYOUT) if kind == "post" else (None, None)
    for row in load_gates():
        circuit = row.circuit
        names = (circuit.kind, circuit.bits, circuit.act_bits, circuit.unit)
        if names == (kind, bits, act_bits, "pe") and (circuit.fraction_bits, circuit.layout) == chosen:
            return row
    return None


def accuracies(study: Study) -> dict[Circuit, float]:
    """Return the mean integer accuracy, in 0..1, of the designs of a study by their processing element.

    Of several data sets or models the first in their order is taken.
    """
    table = designs(study).dropna(subset=["accuracy_integer_mean"])
    first = table.drop_duplicates(["weights", "bits", "act_bits"])
    names = zip(first["weights"], first["bits"], first["act_bits"], first["accuracy_integer_mean"], strict=True)
    found = {element(kind, int(bits), int(act_bits)): float(accuracy) for kind, bits, act_bits, accuracy in names}
    return {row.circuit: accuracy for row, accuracy in found.items() if row}


def differences(study: Study, bits: Iterable[int]) -> list[str]:
    """Return a sentence for each design of these widths: whether its accuracy differs from the uniform one's."""
    chosen = {(width, width) for width in bits}
    return [
        f"{found.design} against {found.baseline}: {statement(found)}."
        for groups in study_groups(study)
        for found in against_uniform([group for group in groups if widths(group) in chosen])
    ]
