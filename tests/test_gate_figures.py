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
    assert multiplier.get_yscale() == "log"
    for axes, unit in ((multiplier, "multiplier"), (element_panel, "pe")):
        drawn = {str(line.get_label()): np.asarray(line.get_xydata()) for line in axes.get_lines()}
        assert set(drawn) == set(gate_counts.LINES.values())
        expected = find_gates(Circuit("pot", 4, 4).multiplier, unit).gate_equivalents
        assert drawn["POT"][2].tolist() == [4, pytest.approx(expected)]
        assert len(drawn["uniform"]) == 7
    assert drawing.get_figwidth() == style.PAGE_WIDTH_IN


def test_designs_have_the_element_of_the_table_that_they_are_exported_with() -> None:
    uniform, post = element("uniform", 4, 4), element("post", 4, 4)
    assert uniform is not None
    assert post is not None
    assert uniform.circuit == Circuit("uniform", 4, 4, "pe")
    assert (post.circuit.layout, post.circuit.fraction_bits) == ("shared", 6)
    assert element("uniform", 4, 8) is None


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
