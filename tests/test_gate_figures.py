"""Figures and columns of gates: what they show is what the shipped table and the run records hold."""

from pathlib import Path

import numpy as np
import pytest
from command import rows
from run_records import record, save

from hwsim.cost.gates import find_gates
from hwsim.synthesis.circuits import Circuit
from reports.figures import GATE_FIGURES, gate_counts, style
from reports.gates import accuracies, element, with_gates
from reports.records import load_study
from reports.report import draw_figure


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


def test_designs_get_the_area_of_their_element(folder: Path) -> None:
    table = with_gates(load_study(folder)).set_index("design")["nand2"]
    assert table["uniform-w4a4"] == find_gates(Circuit("uniform", 4, 4).multiplier, "pe").gate_equivalents
    post = element("post", 4, 4)
    assert post is not None
    assert (post.circuit.layout, post.circuit.fraction_bits) == ("shared", 6)
    assert table["post-w4a4"] == post.gate_equivalents
    assert np.isnan(table["lsq_plus-w4a4"])
    assert element("uniform", 4, 8) is None


def test_accuracy_against_area_is_drawn_of_the_known_designs(folder: Path) -> None:
    drawing, numbers = draw_figure(GATE_FIGURES["accuracy-area"], load_study(folder))
    assert numbers["nand2"].notna().sum() == 3
    assert drawing.axes[0].get_xlabel() == "processing element [NAND2 gates, sky130]"


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
