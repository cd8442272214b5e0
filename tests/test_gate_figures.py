"""Figures and columns of gates: what they show is what the shipped table and the run records hold."""

from pathlib import Path

import numpy as np
import pytest
from command import rows
from run_records import record, save

from hwsim.cost.gates import find_gates
from hwsim.synthesis.circuits import Circuit
from reports.figures import gate_counts, style
from reports.gates import accuracies, element
from reports.records import load_study

CONFIG = {"weights": "post", "bits": 4, "act_bits": 4}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for family, bits in (("uniform", 4), ("pot", 2), ("post", 4), ("lsq_plus", 4)):
        for seed in range(2):
            save(tmp_path, record(family, bits, seed))
    return tmp_path


def test_the_figure_of_gates_draws_every_line_of_the_table() -> None:
    gates = gate_counts.data()
    drawing = gate_counts.draw(gates)
    multiplier, element_panel = drawing.axes[:2]
    for axes, unit in ((multiplier, "multiplier"), (element_panel, "pe")):
        assert axes.get_yscale() == "log"
        drawn = {str(line.get_label()): np.asarray(line.get_xydata()) for line in axes.get_lines()}
        assert set(drawn) == set(gate_counts.LINES.values())
        expected = find_gates(Circuit("pot", 4, 4).multiplier, unit).gate_equivalents
        assert drawn["POT"][2].tolist() == [4, pytest.approx(expected)]
        assert len(drawn["uniform"]) == 7
    assert drawing.get_figwidth() == style.PAGE_WIDTH_IN


@pytest.mark.parametrize(
    ("changes", "circuit"),
    [
        ({"fraction_bits": 2}, Circuit("post", 4, 4, "pe", 2, "shared")),
        ({"fraction_bits": 2, "layout": "full"}, Circuit("post", 4, 4, "pe", 2, "full")),
        ({"weights": "pot", "bits": 8, "act_bits": 8, "exponents": 15}, Circuit("pot", 8, 8, "pe")),
        ({"activations": "asq"}, Circuit("post", 4, 4, "pe", 6, "shared")),
        ({"fraction_bits": 5}, None),  # not in the table
        ({"extended": True}, None),
        ({"weights": "pot", "exponents": 3}, None),
        ({"weights": "pot", "bits": 8, "act_bits": 8}, None),  # products of 135 bits
        ({"weights": "uniform", "act_bits": 8}, None),
        ({"weights": "uniform", "multiplier": "drum"}, None),
        ({"overrides": {"conv1": {"bits": 2}}}, None),
        ({"activations": "lsq_plus"}, None),
        ({"weights": "float"}, None),
    ],
)
def test_the_element_is_that_of_the_runs_own_formats_and_table(
    changes: dict[str, object], circuit: Circuit | None
) -> None:
    found = element(CONFIG | changes)
    assert (found.circuit if found else None) == circuit


def test_accuracy_stands_beside_the_table_that_the_networks_used(tmp_path: Path) -> None:
    for fraction_bits in (2, 6):
        for seed in range(2):
            run = record("post", 4, seed)
            run["config"] |= {"fraction_bits": fraction_bits}
            run["run_id"] = run["run_id"].replace("w4a4", f"w4a4-k{fraction_bits}")
            run["accuracy"]["integer"] = fraction_bits / 10
            save(tmp_path, run)
    told = accuracies(load_study(tmp_path))
    assert {circuit.fraction_bits: accuracy for circuit, accuracy in told.items()} == {2: 0.2, 6: 0.6}


def test_the_comparison_tells_the_accuracy_where_there_are_records(folder: Path) -> None:
    known = accuracies(load_study(folder))
    assert set(known) == {
        Circuit("uniform", 4, 4, "pe"),
        Circuit("pot", 2, 2, "pe"),
        Circuit("post", 4, 4, "pe", 6, "shared"),
    }
    found = rows("rtl", "compare", "--bits", 4, "--study", folder)
    told = {(row["circuit"], row["layout"], row["fraction_bits"]): row["accuracy"] for row in found if row["accuracy"]}
    assert told == {("uniform", None, None): pytest.approx(0.975), ("post", "shared", 6): pytest.approx(0.975)}
