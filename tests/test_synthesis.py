"""Reading netlists: order, function, depth, delay and switching, on circuits small enough to work out by hand."""

import itertools
import json
from typing import Any

import numpy as np
import pytest

from hwsim.synthesis.cells import FF_PER_UM2, FLIP_FLOP, cell_models, genlib, liberty, load_cells
from hwsim.synthesis.evaluate import evaluate
from hwsim.synthesis.netlist import Netlist, read_netlist
from hwsim.synthesis.switching import switching
from hwsim.synthesis.timing import delay_ps, logic_depth

GATES = [name for name, cell in load_cells().items() if cell.function]


def cell(kind: str, output: str = "Y", **nets: int | str) -> dict[str, Any]:
    directions = {pin: "output" if pin == output else "input" for pin in nets}
    return {"type": kind, "port_directions": directions, "connections": {pin: [net] for pin, net in nets.items()}}


def netlist(cells: dict[str, Any], inputs: dict[str, list[int]], outputs: dict[str, list[int | str]]) -> Netlist:
    sides = (("input", inputs), ("output", outputs))
    ports = {name: {"direction": side, "bits": bits} for side, names in sides for name, bits in names.items()}
    return read_netlist(json.dumps({"modules": {"top": {"ports": ports, "cells": cells}}}), "top", (FLIP_FLOP,))


def half_adder() -> Netlist:
    """Return sum = a ^ b and carry = !!(a & b), the gates given in the wrong order."""
    cells = {
        "invert": cell("inv_1", A=4, Y=5),
        "nand": cell("nand2_1", A=2, B=3, Y=4),
        "sum": cell("xor2_1", "X", A=2, B=3, X=6),
    }
    return netlist(cells, {"a": [2], "b": [3]}, {"sum": [6, 5]})


def toggler() -> Netlist:
    """Return a flip-flop that inverts itself."""
    cells = {"not": cell("inv_1", A=4, Y=5), "q": cell(FLIP_FLOP, "Q", CLK=2, D=5, Q=4)}
    return netlist(cells, {"clk": [2]}, {"q": [4]})


# What the names of the cells say, and the widths of their outlines: 8, 16, 24 and 44 of the placement grid's 0.46 um.
@pytest.mark.parametrize(
    ("name", "area"),
    [("inv_1", 3.7536), ("nand2_1", 3.7536), ("xor2_1", 8.7584), ("mux2_1", 11.2608), (FLIP_FLOP, 20.0192)],
)
def test_areas_are_the_foundrys(name: str, area: float) -> None:
    assert load_cells()[name].area_um2 == area


def expected(name: str, pins: dict[str, bool]) -> bool:
    """Return what a cell's name says: a21oi is and-or-invert of two and one, nand3 the inverse of a conjunction."""
    kind = name.rpartition("_")[0]
    values = list(pins.values())
    simple = {"inv": not values[0], "xor2": sum(values) % 2 == 1, "xnor2": sum(values) % 2 == 0}
    if kind in simple:
        return simple[kind]
    if kind == "mux2":
        return pins["A1"] if pins["S"] else pins["A0"]
    for prefix, function in (("nand", all), ("nor", any), ("and", all), ("or", any)):
        if kind.startswith(prefix):
            return function(values) != prefix.startswith("n")
    inner, outer = (all, any) if kind[0] == "a" else (any, all)
    groups = [list(group) for _, group in itertools.groupby(pins, key=lambda pin: pin[0])]
    return outer(inner(pins[pin] for pin in group) for group in groups) != kind.endswith("i")


@pytest.mark.parametrize("name", GATES)
def test_a_cell_does_what_its_name_says(name: str) -> None:
    gate = load_cells()[name]
    for values in itertools.product((False, True), repeat=len(gate.delay_ps)):
        pins = dict(zip(gate.delay_ps, values, strict=True))
        found = gate.evaluate({pin: np.array([value]) for pin, value in pins.items()})
        assert bool(found[0]) is expected(name, pins), pins


def test_every_cell_is_in_every_library() -> None:
    for name, gate in load_cells().items():
        assert f"cell({name}) {{\n  area : {gate.area_um2};" in liberty()
        assert f"module {name}(" in cell_models()
        assert (f"GATE {name} {gate.area_um2} " in genlib()) is (name != FLIP_FLOP)
    assert 'ff(IQ, IQN) { clocked_on : "CLK"; next_state : "D"; }' in liberty()


def test_gates_are_ordered_and_evaluated() -> None:
    circuit = half_adder()
    a, b = np.meshgrid([0, 1], [0, 1])
    np.testing.assert_array_equal(evaluate(circuit, {"a": a, "b": b})["sum"], a + b)
    assert circuit.count == {"nand2_1": 1, "inv_1": 1, "xor2_1": 1}


def test_outputs_are_signed_where_said() -> None:
    circuit = netlist({}, {"x": [2, 3]}, {"y": [2, 3, 3], "one": ["1", "0"], "undefined": ["x"]})
    found = evaluate(circuit, {"x": np.arange(4)}, signed=("y",))
    assert found["y"].tolist() == [0, 1, -2, -1]
    assert found["one"].tolist() == [1] * 4
    assert found["undefined"].tolist() == [0] * 4
    assert evaluate(circuit, {"x": np.arange(4)})["y"].tolist() == [0, 1, 6, 7]


def test_inputs_are_checked() -> None:
    with pytest.raises(ValueError, match="input 'b' of the netlist gets no value"):
        evaluate(half_adder(), {"a": [0]})
    with pytest.raises(ValueError, match=r"input 'a' has 1 bits, which do not hold 0\.\.2"):
        evaluate(half_adder(), {"a": [0, 2], "b": [0, 0]})


def test_depth_and_delay_are_those_of_the_longest_path() -> None:
    circuit, cells = half_adder(), load_cells()
    assert logic_depth(circuit) == 2
    nand_and_inverter = cells["nand2_1"].delay_ps["B"] + cells["inv_1"].delay_ps["A"]
    assert delay_ps(circuit) == max(nand_and_inverter, cells["xor2_1"].delay_ps["A"]) == 187.99
    assert logic_depth(toggler()) == 1
    assert delay_ps(netlist({}, {"x": [2]}, {"y": [2]})) == 0
    tied = netlist({"n": cell("nand2_1", A="1", B="0", Y=4)}, {"x": [2]}, {"y": [4]})
    assert logic_depth(tied) == 0  # a gate of constants never switches


def test_switching_charges_what_changes() -> None:
    """The flip-flop's output and the inverter's change each cycle; they drive the inverter and a port, and D."""
    cells = load_cells()
    found = switching(toggler(), {"clk": np.zeros((5, 3), dtype=np.int64)})
    port = cells["nand2_1"].capacitance_ff("A")
    data = cells["inv_1"].capacitance_ff("A") + port + cells[FLIP_FLOP].capacitance_ff("D")
    clock = 2 * cells[FLIP_FLOP].capacitance_ff("CLK")
    assert found.toggles == 2
    assert found.clock_fj == pytest.approx(clock * 1.8**2 / 2)
    assert found.energy_fj == pytest.approx((data + clock) * 1.8**2 / 2)
    assert cells["nand2_1"].capacitance_ff("A") == pytest.approx(2.315)
    assert cells[FLIP_FLOP].capacitance_ff("D") == pytest.approx(0.126 * FF_PER_UM2)


def test_operands_that_stay_cost_nothing() -> None:
    still = {"a": np.ones((4, 2), dtype=np.int64), "b": np.zeros((4, 2), dtype=np.int64)}
    assert switching(half_adder(), still).energy_fj == 0
    half = still | {"a": np.array([[0, 0], [1, 0], [1, 0], [0, 0]])}  # one stream of two, two of three steps
    assert switching(half_adder(), half).toggles == pytest.approx(2 * (1 + 1) / 6)  # the input and the sum


@pytest.mark.parametrize(
    ("cells", "message"),
    [
        ({"a": cell("inv_1", A=4, Y=5), "b": cell("inv_1", A=5, Y=4)}, "drive each other in a circle of 2"),
        ({"a": cell("inv_1", "Z", A=4, Y=5)}, "cell a of type inv_1 must have one output of one bit"),
    ],
)
def test_netlists_that_cannot_be_computed_are_refused(cells: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        netlist(cells, {"x": [2]}, {"y": [4]})


def test_an_unknown_module_is_refused() -> None:
    with pytest.raises(ValueError, match=r"the netlist has no module 'top' \(it has other\)"):
        read_netlist('{"modules": {"other": {}}}', "top", ())
