"""The shipped table of gates: complete, of the circuits that it names, and what comparisons and costs make of it."""

import random
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from command import error, rows, run

from hwsim.accumulator import Accumulator
from hwsim.arithmetic import Requantizer
from hwsim.cost import evaluate, gates
from hwsim.cost.gate_comparison import RATIOS, compare_gates
from hwsim.cost.gates import IDENTITY, MEASURES, GateRow, find_gates, load_gates, parse_gates
from hwsim.cost.technology import MissingConstantError
from hwsim.cost.views import totals
from hwsim.formats import Uniform
from hwsim.multipliers import multiplier_for
from hwsim.network import Network
from hwsim.network_file import save_network
from hwsim.nodes import Input, Linear, Quantize, Rescale
from hwsim.synthesis import YosysError, find_yosys
from hwsim.synthesis import measure as measuring
from hwsim.synthesis.circuits import Circuit, all_circuits, multiplier_id
from hwsim.synthesis.table import cells, differences, measured_row, rebuild, table_text
from hwsim.workload import Layer, Workload
from hwsim.workloads import Precision, literature, quantized

NAND2_UM2 = 3.7536


def shipped(circuit: Circuit) -> GateRow:
    return next(row for row in load_gates() if row.circuit == circuit)


def test_the_table_holds_every_circuit_once_in_order() -> None:
    assert [row.circuit for row in load_gates()] == list(all_circuits())


@pytest.mark.parametrize("row", load_gates(), ids=lambda row: row.circuit.name)
def test_a_row_is_of_the_circuit_that_it_names(row: GateRow) -> None:
    assert row.multiplier == multiplier_id(row.circuit.multiplier)
    assert row.accumulator_bits == row.circuit.accumulator_bits
    assert set(row.measures) == set(MEASURES)
    assert row.tool.startswith("Yosys ")
    assert row.measures["area"] > 0
    if row.circuit.kind != "post":  # POST without odd exponents has products whose lowest bits are always 0
        assert row.measures["flip_flops"] == (row.accumulator_bits or 0)
    assert (row.measures["clock_energy"] > 0) is (row.circuit.unit == "pe")


def test_the_table_can_be_written_as_it_is_shipped() -> None:
    text = table_text([cells(row) for row in load_gates()])
    assert list(map(cells, parse_gates(text, "again"))) == list(map(cells, load_gates()))


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("kind,bits", "type,bits", "x.csv: no column 'kind'"),
        ("\nuniform,2,", "\nunform,2,", "x.csv, row 1: unknown kind of circuit 'unform'"),
        ("\nuniform,2,", "\nuniform,x,", "x.csv, row 1: invalid literal for int"),
    ],
)
def test_a_damaged_table_is_refused_by_name(old: str, new: str, message: str) -> None:
    text = table_text([cells(row) for row in load_gates()[:2]])
    with pytest.raises(ValueError, match=message):
        parse_gates(text.replace(old, new, 1), "x.csv")


def test_a_multiplier_is_found_by_what_it_is() -> None:
    uniform = multiplier_for(Uniform(4), Uniform(4, signed=False))
    assert find_gates(uniform, "pe").circuit == Circuit("uniform", 4, 4, "pe")  # not booth's: the first is taken
    assert find_gates(uniform, "multiplier").accumulator_bits is None
    signed = multiplier_for(Uniform(4), Uniform(4))
    with pytest.raises(MissingConstantError, match=r"gates.csv has no pe of the array multiplier of Uniform\(bits=4"):
        find_gates(signed, "pe")


def test_ratios_are_to_the_uniform_circuit_of_the_same_unit() -> None:
    found = compare_gates([4, 8])
    assert {(row["bits"], row["unit"]) for row in found} == {(b, u) for b in (4, 8) for u in ("multiplier", "pe")}
    for row in found:
        if row["circuit"] == "uniform":
            assert all(row[column] in (1, None) for column in RATIOS.values())
    [pot] = [row for row in found if (row["circuit"], row["bits"], row["unit"]) == ("pot", 4, "pe")]
    ours, theirs = shipped(Circuit("pot", 4, 4, "pe")), shipped(Circuit("uniform", 4, 4, "pe"))
    assert pot["claimed"] == 0.25
    assert pot["nand2"] == round(ours.measures["area"] / NAND2_UM2, 1)
    assert pot["area"] == round(ours.measures["area"] / theirs.measures["area"], 3)
    assert pot["delay"] == round(ours.measures["delay"] / theirs.measures["delay"], 3)
    assert [row["claimed"] for row in found if row["circuit"] == "apot"] == [None] * 4


def test_the_claim_does_not_hold() -> None:
    """Nowhere does a shift or a table make a multiplier b times smaller, let alone a processing element."""
    for row in compare_gates(range(3, 9)):
        if row["circuit"] in ("pot", "post"):
            assert float(str(row["area"])) > float(str(row["claimed"])), row


def test_comparisons_that_cannot_be_made_are_refused() -> None:
    with pytest.raises(ValueError, match="unknown unit 'array'"):
        compare_gates([4], ["array"])
    with pytest.raises(
        ValueError, match=r"the table of gates has no 9-bit multiplier \(it has 2, 3, 4, 5, 6, 7, 8 bits"
    ):
        compare_gates([9])


def two_layers() -> Workload:
    circuits = {kind: Circuit(kind, 4, 4).multiplier for kind in ("pot", "uniform")}
    layers = [
        replace(layer, name=kind, weight=circuit.weight, activation=circuit.activation, multiplier=circuit)
        for kind, circuit in circuits.items()
        for layer in [plain_layer(kind)]
    ]
    return Workload("two", tuple(layers))


def plain_layer(name: str) -> Layer:
    return Layer(name, "linear", K=3, C=5, has_weight=True)


def test_energy_is_products_times_an_elements() -> None:
    table = gates(two_layers())
    for kind in ("pot", "uniform"):
        row = shipped(Circuit(kind, 4, 4, "pe"))
        assert table.value("energy", layer=kind) == pytest.approx(15 * row.measures["energy"] / 1000)
        assert table.value("element_area", part=row.circuit.name) == row.measures["area"]
        assert table.value("element_gate_equivalents", part=row.circuit.name) == row.measures["area"] / NAND2_UM2
    [source] = {entry.source for entry in table.filter(layer="pot")}
    assert "pot4a4 pe with a " in source
    assert "Yosys" in source


def test_elements_are_never_added_up() -> None:
    found = totals(gates(two_layers()))
    for quantity in ("area", "delay", "transistors"):
        expected = {kind: shipped(Circuit(kind, 4, 4, "pe")).measures[quantity] for kind in ("pot", "uniform")}
        rows_of = {str(row["convention"]): row for row in found if row["quantity"] == f"element_{quantity}"}
        assert {name: row["value"] for name, row in rows_of.items()} == {
            f"sky130 gates of {kind}4a4 pe": value for kind, value in expected.items()
        }
        for name, row in rows_of.items():
            assert name.removeprefix("sky130 gates of ") in str(row["source"])


@pytest.mark.parametrize(
    ("sizes", "told"),
    [  # products of POT at 4 bits: at most 2^6 x 15
        ({}, "at most 14 bits"),  # 5 x 960 = 4800
        ({"accumulator_bits": 17}, "at most 17 bits"),
        ({"C": 10_000}, "at most 25 bits, more than it holds"),  # 9,600,000
    ],
)
def test_an_element_says_how_wide_its_layers_sums_are(sizes: dict[str, int], told: str) -> None:
    layers = tuple(replace(layer, **sizes) for layer in two_layers())  # type: ignore[arg-type]
    [source] = {entry.source for entry in gates(Workload("two", layers)).filter(part="pot4a4 pe")}
    assert source.startswith("pot4a4 pe with a 24-bit accumulator, ")
    assert source.endswith(f"; the sums of its layers have {told}")


def test_what_the_table_lacks_is_listed_and_not_free() -> None:
    workload = quantized(literature("resnet18"), Precision("uniform", 4, act_bits=8))
    table = evaluate(workload, ["gates"])
    assert table.value("unpriced_macs") > 0
    assert table.value("energy") > 0  # the first and the last layer, at 8 bits
    assert gates(literature("resnet18")).value("unpriced_macs") == literature("resnet18").macs


def test_the_command_answers_from_the_table() -> None:
    found = {row["quantity"]: row["value"] for row in rows("rtl", "synth", "pot", "--bits", 4, "--unit", "pe")}
    row = shipped(Circuit("pot", 4, 4, "pe"))
    assert found == {**row.measures, "gate_equivalents": row.gate_equivalents}
    assert run("rtl", "synth", "pot").stderr.startswith("shipped row, Yosys ")


def test_the_comparison_as_a_command() -> None:
    found = rows("rtl", "compare", "--bits", "3,4", "--unit", "pe")
    assert {row["bits"] for row in found} == {3, 4}
    assert {row["unit"] for row in found} == {"pe"}
    assert "unknown unit 'p'" in error("rtl", "compare", "--unit", "p")
    assert "post has a layout" in error("rtl", "synth", "pot", "--fraction-bits", 2)
    assert "--network and --layer belong together" in error("rtl", "synth", "pot", "--layer", "conv1")


def test_options_that_say_the_shipped_circuit_are_answered_from_the_table() -> None:
    assert run("rtl", "synth", "pot", "--bits", 8, "--exponents", 15).stderr.startswith("shipped row, Yosys ")
    assert "act_bits must be an integer in 2..8 for a circuit, got 0" in error("rtl", "synth", "pot", "--act-bits", 0)


@pytest.mark.rtl
@pytest.mark.usefixtures("_yosys")
@pytest.mark.parametrize(
    ("options", "title"),
    [
        (["mine.npy"], "mine2a1 multiplier"),
        (["mine.npy", "--unit", "pe", "--overflow", "saturate"], "mine2a1 pe, saturate"),
        (["pot", "--bits", 2, "--signed-activations"], "pot2a2 multiplier, signed activations"),
        (["booth", "--bits", 2, "--unit", "pe", "--accumulator-bits", 6], "booth2a2 pe, 6-bit sum"),
        (["mitchell", "--bits", 2, "--signed-activations"], "mitchell2a2 multiplier, signed activations"),
    ],
)
def test_circuits_of_the_users_choice_are_mapped_checked_and_proven(
    options: list[object], title: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HWSIM_CACHE_DIR", str(tmp_path))
    monkeypatch.setattr(measuring, "measure", partial(measuring.measure, flows=["sky130"]))
    monkeypatch.chdir(tmp_path)
    np.save("mine.npy", np.array([[0, 1], [2, 5], [-3, 4], [7, -6]]))
    result = run("rtl", "synth", *options, "--prove")
    assert result.exit_code == 0, result.stderr
    assert title in result.stdout
    assert "gate_equivalents" in result.stdout
    proven, remark = result.stderr.splitlines()
    assert proven.startswith("proven: ")
    assert remark.startswith("not in the shipped table; synthesised by Yosys ")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["pot", "--overflow", "wrap"], "--accumulator-bits and --overflow are for --unit pe: leave them out"),
        (["pot", "--unit", "pe", "--overflow", "wrp"], "unknown overflow mode 'wrp'; did you mean 'wrap'?"),
        (["pot", "--unit", "pe", "--accumulator-bits", 64], "accumulator bits must be an integer in 2..63, got 64"),
        (["drum", "--exponents", 3], "a table has no exponents, fraction bits or layout: leave them out for drum"),
        (["drm"], "unknown multiplier 'drm'"),
        (["no.npy"], "no product table at no.npy"),
        (["drum", "--unit", "array"], "unknown unit 'array'"),
    ],
)
def test_choices_that_cannot_be_mapped_are_refused(options: list[object], message: str) -> None:
    assert message in error("rtl", "synth", *options)


@pytest.mark.rtl
def test_a_layer_of_other_codes_is_refused(tmp_path: Path) -> None:
    pytest.importorskip("amaranth", reason="hardware needs the extra `rtl`")
    activation = Uniform(4, signed=False)
    weight = np.zeros((2, 3), dtype=np.int64)
    uniform = multiplier_for(Uniform(4), activation)
    layer = Linear("layer", ("codes",), weight=weight, multiplier=uniform, accumulator=Accumulator(16))
    one = Requantizer(np.array(1), np.array(0))
    codes = Quantize("codes", ("x",), format=activation, requantizer=one)
    rescale = Rescale("rescale", ("layer",), requantizer=one, bias=np.zeros(2, dtype=np.int64))
    file = tmp_path / "network.safetensors"
    save_network(Network((Input("x", (), (3,)), codes, layer, rescale)), file)
    message = error("rtl", "synth", "pot", "--bits", 4, "--network", file, "--layer", "layer")
    assert message.startswith("layer 'layer' has weights Uniform(bits=4, signed=True, narrow=False), whose codes mean")
    assert "the circuit pot4a4 multiplier, which takes PowerOfTwo(bits=4" in message
    named = error("rtl", "synth", "pot", "--bits", 4, "--network", file, "--layer", "lyer")
    assert "unknown layer 'lyer'; did you mean 'layer'?" in named


def test_a_missing_tool_is_one_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HWSIM_YOSYS", str(tmp_path / "none"))
    monkeypatch.setenv("HWSIM_CACHE_DIR", str(tmp_path))
    assert "does not start" in error("rtl", "synth", "uniform", "--bits", 4, "--act-bits", 8)
    assert not list(tmp_path.rglob("*.json"))


def test_differences_name_both_numbers() -> None:
    row = shipped(Circuit("uniform", 4, 4))
    other = GateRow(row.circuit, None, row.multiplier, {**row.measures, "lut6": 99}, "Yosys 9.9")
    assert differences(row, row) == []
    assert differences(row, other) == [
        f"lut6: {row.measures['lut6']:g} shipped, 99 now",
        f"tool: {row.tool} shipped, Yosys 9.9 now",
    ]


@pytest.fixture
def _yosys() -> None:
    try:
        find_yosys()
    except YosysError as problem:
        pytest.skip(str(problem))
    pytest.importorskip("amaranth")


@pytest.mark.rtl
@pytest.mark.slow
@pytest.mark.usefixtures("_yosys")
@pytest.mark.parametrize("seed", range(4))
def test_a_sample_of_rows_equals_a_fresh_synthesis(seed: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HWSIM_CACHE_DIR", str(tmp_path))
    small = [row for row in load_gates() if row.circuit.bits <= 5]
    row = random.Random(seed).choice(small)
    assert differences(row, measured_row(row.circuit)) == []


@pytest.mark.rtl
@pytest.mark.slow
@pytest.mark.usefixtures("_yosys")
def test_a_rebuilt_table_is_the_shipped_one(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HWSIM_CACHE_DIR", str(tmp_path))
    circuits = [Circuit("uniform", 2, 2), Circuit("pot", 2, 2, "pe")]
    names: list[str] = []
    assert rebuild(tmp_path / "gates.csv", 2, names.append, circuits) == 2
    assert names == [circuit.name for circuit in circuits]
    found = parse_gates((tmp_path / "gates.csv").read_text(), "gates.csv")
    assert [cells(row) for row in found] == [cells(shipped(circuit)) for circuit in circuits]


def test_columns_identify_a_circuit() -> None:
    assert set(asdict(Circuit("uniform", 4, 4))) <= set(IDENTITY)
